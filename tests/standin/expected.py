"""What is known to fail until the tracks of issue 10 have landed, by the track that it waits for. To be emptied."""

EXPECTED: dict[str, list[str]] = {
    "A": [
        "test_an_echo_of_whatever_type_and_sign_is_ours_and_no_quarantined_row",
        "test_what_contradicts_a_learnt_fact_is_told",
        "test_a_persons_movement_in_the_second_of_a_patch_explains_what_its_echo_moved",
        "test_whatever_people_and_the_network_do_the_numbers_meet",
    ],
    "C": [
        "test_a_movement_of_an_unknown_type_blocks_its_item_until_a_person_has_settled_it",
    ],
}

"""Pure vocabulary: numbers, keys, dates, the policy. It imports nothing of ours."""

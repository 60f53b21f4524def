"""The server, its settings, and the levers for other processes."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from sync.errors import ConfigError
from sync.sandbox.server import Sandbox, introduction
from tests.sandbox.conftest import MAIN, StillClock, Vendor


@pytest.fixture
def control(sandbox: Sandbox) -> Iterator[Vendor]:
    """The sandbox's own pages."""
    with httpx.Client(base_url=sandbox.mpservices_url) as http:
        yield Vendor(http)


def test_it_listens_on_loopback_only(sandbox: Sandbox) -> None:
    assert sandbox.mpw_url == f"http://127.0.0.1:{sandbox.port}/api/v1/mpw"
    assert sandbox.mpservices_url == f"http://127.0.0.1:{sandbox.port}"
    assert sandbox.port > 0


def test_a_port_that_is_taken_is_a_configuration_error(sandbox: Sandbox) -> None:
    with pytest.raises(ConfigError, match="cannot listen"):
        Sandbox(populate=False, port=sandbox.port).start()


def test_settings_are_what_lets_a_program_in(sandbox: Sandbox) -> None:
    settings = sandbox.settings()

    form = {"email": settings["MPW_EMAIL"], "password": settings["MPW_PASSWORD"]}
    assert httpx.post(f"{settings['MPW_BASE_URL']}/authentication", data=form).status_code == 200
    answer = httpx.get(
        f"{settings['MPSERVICES_BASE_URL']}/FetchTenantsInventoryMovements",
        headers={"token": settings["MPSERVICES_TOKEN"]},
    )
    assert answer.status_code == 200


def test_the_introduction_ends_with_a_block_for_an_env_file(sandbox: Sandbox) -> None:
    lines = introduction(sandbox).splitlines()

    assert 'MPW_WAREHOUSE="Warehouse #1"' in lines
    assert f"MPSERVICES_TOKEN={sandbox.token}" in lines


def test_the_command_runs_until_it_is_interrupted_and_prints_what_to_paste() -> None:
    code = (  # a shell's background jobs ignore SIGINT, and hand that down
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from sync.sandbox.server import run_sandbox; run_sandbox(0, 1, 3)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        lines = iter(run.stdout.readline, "")
        settings = dict(line.strip().split("=", 1) for line in itertools.islice(lines, 17) if "=" in line)
        page = httpx.get(settings["MPSERVICES_BASE_URL"])
        run.send_signal(signal.SIGINT)
        rest, errors = run.communicate(timeout=10)

    assert page.status_code == 200
    assert settings["MPW_WAREHOUSE"] == '"Warehouse #1"'
    assert "sandbox stopped" in rest
    assert (run.returncode, errors) == (0, "")


def test_two_sandboxes_run_side_by_side(sandbox: Sandbox) -> None:
    with Sandbox(populate=False) as other:
        assert other.port != sandbox.port

    assert httpx.get(sandbox.mpservices_url).status_code == 200


def test_the_status_page_shows_counts_and_escapes_what_was_asked(sandbox: Sandbox, mpw: Vendor) -> None:
    mpw.get("/receipts", date="<script>")

    page = httpx.get(sandbox.mpservices_url)

    assert page.headers["Content-Type"].startswith("text/html")
    assert "MPW receipts" in page.text
    assert "&lt;script&gt;" in page.text
    assert "<script>" not in page.text
    assert sandbox.password not in page.text


def test_requests_are_logged_in_order_with_their_status(sandbox: Sandbox, mpw: Vendor) -> None:
    sandbox.requests.clear()
    mpw.post_receipt()
    mpw.get("/receipts", date="2023-09-19", part_number="1233")

    assert [(seen.endpoint, seen.method, seen.status) for seen in sandbox.requests] == [
        ("mpw.post_receipt", "POST", 200),
        ("mpw.receipts", "GET", 200),
    ]
    assert '"api_key":"r1"' in sandbox.requests[0].body.replace(" ", "")
    assert sandbox.requests[1].query == {"date": "2023-09-19", "part_number": "1233"}
    assert sandbox.requests[1].path == "/api/v1/mpw/receipts"
    assert [seen.endpoint for seen in sandbox.requests.writes()] == ["mpw.post_receipt"]


def test_another_process_can_act_as_people(sandbox: Sandbox, control: Vendor) -> None:
    act = {
        "do": "mpw.person_receives",
        "with": {"part_number": "1233", "warehouse_name": MAIN, "quantity": 2, "unit_cost": "9.99"},
    }

    status, body = control.post("/_sandbox/people", act)

    assert status == 200
    assert body["result"] in sandbox.mpw.receipt_by_id
    assert str(sandbox.mpw.receipt_by_id[body["result"]].unit_cost) == "9.99"


def test_another_process_can_date_a_movement(clock: StillClock, sandbox: Sandbox, control: Vendor) -> None:
    sandbox.mpservices.add_product("p", stock=5)
    arguments = {"type": "Outbound", "external_id": "p", "quantity": 1, "cost": "2"}

    status, _ = control.post(
        "/_sandbox/people",
        {"do": "mpservices.person_moves", "with": arguments | {"created_at": "2023-09-18T10:00:00+00:00"}},
    )

    assert status == 200
    assert sandbox.mpservices.all_movements[0].created_at == datetime(2023, 9, 18, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "act",
    [
        {"do": "mpw.login"},
        {"do": "mpw.__init__"},
        {"do": "mpw.person_receives", "with": {"part_number": "nope"}},
        {"do": "mpw.person_deletes_receipt", "with": {"receipt_id": 1}},
        [],
    ],
)
def test_what_is_no_act_of_people_is_refused(control: Vendor, act: object) -> None:
    assert control.post("/_sandbox/people", act)[0] == 422


def test_another_process_can_script_and_clear_faults(sandbox: Sandbox, mpw: Vendor, control: Vendor) -> None:
    script = {"endpoint": "mpw.post_receipt", "kind": "error_before", "times": None, "body_contains": '"bad"'}

    status, pending = control.post("/_sandbox/faults", script)

    assert (status, len(pending)) == (200, 1)
    assert mpw.post_receipt(api_key="bad")[0] == 503
    assert mpw.post_receipt(api_key="good")[0] == 200
    assert control.delete("/_sandbox/faults") == (200, [])
    assert mpw.post_receipt(api_key="bad")[0] == 200


@pytest.mark.parametrize(
    "script", [{}, {"endpoint": "mpw.receipts", "kind": "nope"}, {"endpoint": "mpw.receipts", "kind": "html", "x": 1}]
)
def test_a_wrong_script_is_refused(sandbox: Sandbox, control: Vendor, script: object) -> None:
    assert control.post("/_sandbox/faults", script)[0] == 422
    assert sandbox.faults.pending() == []


def test_the_state_shows_what_the_vendors_answers_hide(sandbox: Sandbox, mpw: Vendor, control: Vendor) -> None:
    mpw.post_receipt()
    mpw.post_issuance()
    sandbox.mpservices.add_product("p", stock=5)
    sandbox.mpservices.patch_stock({"external_id": "p", "new_stock": "4", "new_cost": "1"})

    state = control.get("/_sandbox/state")[1]

    assert [row["api_key"] for row in state["mpw"]["issuances"]] == ["i1"]
    assert [(row["part_number"], row["quantity"]) for row in state["mpw"]["parts"]] == [("1233", 3)]
    assert [row["stock"] for row in state["mpservices"]["products"]] == ["4"]
    assert [row["by_patch"] for row in state["mpservices"]["movements"]] == [True]
    assert state["requests"]["mpw.post_receipt"] == 1
    seen = control.get("/_sandbox/requests", endpoint="mpw.post_issuance")[1]
    assert [row["status"] for row in seen] == [200]


def test_people_and_clients_at_once_lose_nothing(sandbox: Sandbox, mpw: Vendor) -> None:
    def receive() -> None:
        for _ in range(100):
            sandbox.mpw.person_receives("1233", MAIN, 1, 1, "2023-09-19")

    people = [threading.Thread(target=receive) for _ in range(4)]
    for person in people:
        person.start()
    for place in range(50):
        assert mpw.post_receipt(api_key=f"k{place}", quantity_received=1)[0] == 200
    for person in people:
        person.join()

    assert sandbox.mpw.stock("1233", MAIN) == 450
    assert len(mpw.get("/receipts", date="2023-09-19")[1]) == 450


def test_a_day_of_five_hundred_receipts_is_answered_in_milliseconds(sandbox: Sandbox, mpw: Vendor) -> None:
    for _ in range(500):
        sandbox.mpw.person_receives("1233", MAIN, 1, "1.5", "2023-09-19")
    took = []
    for _ in range(20):
        begun = time.perf_counter()
        mpw.http.get("/receipts", params={"date": "2023-09-19"})
        took.append(time.perf_counter() - begun)

    assert min(took) < 0.02  # 2.4 ms on a quiet machine


def test_the_sandbox_imports_nothing_of_ours_but_clock_errors_and_money() -> None:
    code = (
        "import sys, sync.sandbox.server;"
        "print(*sorted(m for m in sys.modules if m.startswith('sync.') and not m.startswith('sync.sandbox')))"
    )

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert out.split() == ["sync.clock", "sync.errors", "sync.values", "sync.values.money"]


def test_the_models_work_without_a_server(clock: StillClock) -> None:
    sandbox = Sandbox(clock=clock, populate=False)
    sandbox.mpw.add_part("1233", MAIN)
    fields = {"part_number": "1233", "warehouse_name": MAIN, "created_on": "2023-09-19"}

    posted = sandbox.mpw.post_receipt(fields | {"quantity_received": 3, "unit_cost": 1, "api_key": "k"})
    refused = sandbox.mpw.post_issuance(fields | {"quantity": 4, "api_key": "k"})

    assert posted[0] == 200
    assert refused[0] == 422
    assert len(sandbox.requests) == 0

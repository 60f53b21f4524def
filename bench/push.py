"""Push 2,000 receipts to the sandbox at concurrency 8, against bare httpx posts of the same bodies.

    python -m bench.push [--profile] [--receipts N] [--rounds N]

The sandbox runs in a process of its own and is new for every measurement. The peers have no database: a login, then
eight threads. One posts; the other makes our calls, so it asks for the key before each post, since POST /receipts
updates whatever has it. Ours claims with durable attempt rows, posts the same bytes, and records each answer.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import httpx
from sqlalchemy import text

from bench.databases import DATABASES, databases
from bench.frame import Row, Spent, Table, timed
from sync.app import open_app
from sync.ledger.books import Books
from sync.log import configure_logging
from sync.outbox.machine import POST_RECEIPT, NewPush, rank_of
from sync.outbox.rows import add_push
from sync.push.round import push_once
from sync.settings import load_settings

RECEIPTS = 2000
PARTS = 500
CONCURRENCY = 8
ROUNDS = 3
WAREHOUSE = "Main"
MUST = {"sqlite": 0.5, "postgresql": 0.4}


@dataclass(frozen=True, slots=True)
class Shop:
    """A sandbox in a process of its own."""

    url: str
    email: str
    password: str

    def settings(self, database_url: str) -> dict[str, str]:
        """Return settings: only MPW, no pace, 8 at once, receipts pushed."""
        return {
            "DATABASE_URL": database_url,
            "MPW_BASE_URL": self.url,
            "MPW_EMAIL": self.email,
            "MPW_PASSWORD": self.password,
            "MPW_WAREHOUSE": WAREHOUSE,
            "MPW_MAX_REQUESTS_PER_SECOND": "0",
            "MPW_CONCURRENCY": str(CONCURRENCY),
            "SYNC_ROUTE_RECEIPTS": "push",
        }


@contextmanager
def shop() -> Iterator[Shop]:
    """Run a sandbox that knows the parts while the block runs."""
    command = [sys.executable, "-m", "bench.push", "--serve"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    try:
        assert process.stdout is not None
        yield Shop(*json.loads(process.stdout.readline()))
    finally:
        process.terminate()
        process.wait(10)


def serve() -> None:
    """Be that sandbox."""
    from sync.sandbox.server import Sandbox

    with Sandbox(populate=False) as sandbox:
        sandbox.mpw.add_warehouse(WAREHOUSE)
        for n in range(PARTS):
            sandbox.mpw.add_part(part(n), WAREHOUSE)
        print(json.dumps([sandbox.mpw_url, sandbox.email, sandbox.password]), flush=True)
        threading.Event().wait()


def part(n: int) -> str:
    """Return the part that the nth receipt is of."""
    return f"P-{n % PARTS:04}"


def payloads(receipts: int = RECEIPTS) -> list[str]:
    """Return the bodies, without their envelope, as the rules freeze them."""
    today = date.today().isoformat()
    return [
        json.dumps(
            {
                "part_number": part(n),
                "warehouse_name": WAREHOUSE,
                "quantity_received": 1 + n % 9,
                "unit_cost": 12.5,
                "created_on": today,
                "api_key": f"bench-{n:06}",
            }
        )
        for n in range(receipts)
    ]


def bare(seller: Shop, bodies: Sequence[str], *, look: bool) -> Spent:
    """Post all with httpx, eight at once; no database, no checks but the status. `look`: ask for each key before."""
    keys = [json.loads(body)["api_key"] for body in bodies]
    limits = httpx.Limits(max_connections=CONCURRENCY)
    with httpx.Client(base_url=seller.url, limits=limits, trust_env=False, timeout=30) as client:
        login = client.post("/authentication", data={"email": seller.email, "password": seller.password})
        login.raise_for_status()
        headers = {"Authorization": f"Bearer {login.json()['access_token']}", "Content-Type": "application/json"}

        def post(body: str, key: str) -> None:
            if look:
                client.get("/receipts", params={"api_key": key}, headers=headers)  # 404 or an empty list: not there
            content = ('{"receipt":' + body + "}").encode()
            client.post("/receipts", content=content, headers=headers).raise_for_status()

        with ThreadPoolExecutor(CONCURRENCY) as pool, timed() as spent:
            list(pool.map(post, bodies, keys))
    return spent


def ours(seller: Shop, bodies: Sequence[str], database_url: str, profile: bool = False) -> Spent:
    """Push the same from the outbox, round after round as the daemon does, until nothing is ready."""
    with open_app(load_settings(seller.settings(database_url))) as app:
        ctx = app.context()
        with app.store.write() as conn:
            for n, body in enumerate(bodies):
                add_push(Books(conn, now=app.clock.now()), _push(n, body))
        profiler = cProfile.Profile(time.thread_time) if profile else None
        with timed() as spent:
            if profiler:
                profiler.enable()
            while push_once(ctx).moved:
                pass
            if profiler:
                profiler.disable()
        if profiler:
            pstats.Stats(profiler).sort_stats("cumtime").print_stats(40)
        with app.store.read() as conn:
            done = conn.execute(text("select count(*) from outbox where state = 'done'")).scalar_one()
            tries = conn.execute(text("select count(*) from attempts where outcome = 'done'")).scalar_one()
    assert (done, tries) == (len(bodies), len(bodies)), (done, tries)
    return spent


def _push(n: int, body: str) -> NewPush:
    return NewPush(
        route="receipts",
        operation=POST_RECEIPT,
        kind="receipt",
        api_key=f"bench-{n:06}",
        entity_key=f"item:{part(n)}",
        item=part(n),
        payload=body,
        reason="a measurement wants it",
        state="ready",
        rank=rank_of(POST_RECEIPT),
    )


def _quickest(runs: Sequence[Spent]) -> Spent:
    return min(runs, key=lambda one: one.wall)


def main() -> None:
    """Measure peers and ours in turn, and keep the best of each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--only", choices=DATABASES)
    parser.add_argument("--receipts", type=int, default=RECEIPTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve()
        return
    configure_logging("error", "console", [])
    bodies = payloads(chosen.receipts)
    table = Table("push")
    for kind in [chosen.only] if chosen.only else DATABASES:
        with databases(kind) as make:
            posts, same, runs = [], [], []
            for _ in range(1 if chosen.profile else chosen.rounds):
                with shop() as seller:
                    posts.append(bare(seller, bodies, look=False))
                with shop() as seller:
                    same.append(bare(seller, bodies, look=True))
                with shop() as seller:
                    runs.append(ours(seller, bodies, make(), chosen.profile))
        run = _quickest(runs)
        work = f"push {len(bodies):,} receipts, {kind}"
        # as throughput: at least MUST times the peer's, which is its time over ours
        for against, peers in (("bare httpx, the same calls", same), ("bare httpx that only posts", posts)):
            peer = _quickest(peers)
            note = f"CPU {run.cpu:.2f} s against {peer.cpu:.2f}"
            table.add(Row(work, run.wall, "s", MUST[kind], 0.8, against, peer.wall, "faster", note))
    table.report()


if __name__ == "__main__":
    main()

"""What dlt needs for the same days: run by an interpreter that has the `bench` extra; prints one JSON object.

    python bench/dlt_peer.py default|best VENDOR_URL FIRST DAYS DATABASE_URL

`default` hands dlt the parsed rows, as its documentation does; `best` hands it Arrow tables, which passes its row
normaliser by, and loads Parquet through ADBC. Both merge by primary key, so that a second read would not double rows.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

COLUMNS = (
    "id",
    "part_number",
    "inventory_name",
    "created_on",
    "invoice_number",
    "quantity_received",
    "quantity_remaining",
    "unit_cost",
    "description",
    "vendor_name",
    "vendor_number",
    "api_key",
    "purchase_order_number",
    "purchase_order_prefix_number",
    "warehouse_name",
)


def main(mode: str, url: str, first: date, days: int, database_url: str) -> None:
    """Load the days and print what it took, without the time of the imports."""
    os.environ.update(DLT_TELEMETRY="0", RUNTIME__DLTHUB_TELEMETRY="false", RUNTIME__LOG_LEVEL="ERROR")
    import dlt
    import httpx
    import pyarrow.json

    wanted = [first + timedelta(days=n) for n in range(days)]

    @dlt.resource(name="receipts", primary_key="id", write_disposition="merge")
    def receipts() -> Iterator[Any]:
        with httpx.Client(trust_env=False) as client, ThreadPoolExecutor(8) as pool:

            def fetch(day: date) -> Any:
                body = client.get(f"{url}/receipts", params={"date": day.isoformat()}).content
                if mode == "default":
                    return json.loads(body)
                lines = body[1:-1].replace(b"},{", b"}\n{")
                options = pyarrow.json.ParseOptions(explicit_schema=_schema())
                return pyarrow.json.read_json(io.BytesIO(lines), parse_options=options)

            for at in range(0, days, 24):
                yield from pool.map(fetch, wanted[at : at + 24])

    with tempfile.TemporaryDirectory() as folder:
        kind = dlt.destinations.sqlalchemy if database_url.startswith("sqlite") else dlt.destinations.postgres
        destination: Any = kind(database_url)
        pipeline = dlt.pipeline("bench", pipelines_dir=folder, destination=destination, dataset_name="main")
        wall, cpu = time.perf_counter(), time.process_time()
        pipeline.run(receipts(), loader_file_format=None if mode == "default" else "parquet")
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        with pipeline.sql_client() as client:
            [[rows]] = client.execute_sql("select count(*) from receipts")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"wall": wall, "cpu": cpu, "rows": rows, "memory_mb": memory, "dlt": dlt.__version__}))


def _schema() -> Any:
    import pyarrow

    numbers = {"id": pyarrow.int64(), "purchase_order_number": pyarrow.int64()} | dict.fromkeys(
        ("quantity_received", "quantity_remaining", "unit_cost"), pyarrow.float64()
    )
    return pyarrow.schema([(name, numbers.get(name, pyarrow.string())) for name in COLUMNS])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], date.fromisoformat(sys.argv[3]), int(sys.argv[4]), sys.argv[5])

# The image: mpsync in a virtual environment, run by an ordinary user, on a root file system that may be read-only.
# Python is the minor version that the tests run on.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python3 -m venv /opt/build && python3 -m venv /opt/mpsync
COPY deploy/requirements.txt deploy/requirements-build.txt deploy/
RUN /opt/build/bin/pip install --require-hashes -r deploy/requirements-build.txt \
 && /opt/mpsync/bin/pip install --require-hashes -r deploy/requirements.txt
COPY pyproject.toml README.md ./
COPY migrations migrations
COPY sync sync
RUN /opt/build/bin/python -m hatchling build -t wheel -d /wheel \
 && /opt/mpsync/bin/pip install --no-deps --no-index /wheel/*.whl \
 && /opt/mpsync/bin/pip uninstall --yes pip setuptools \
 && /opt/mpsync/bin/python -m compileall -q /opt/mpsync/lib

FROM ${BASE} AS run
RUN groupadd --system --gid 10001 mpsync \
 && useradd --system --uid 10001 --gid mpsync --home-dir /var/lib/mpsync --no-create-home --shell /usr/sbin/nologin mpsync \
 && install -d -o mpsync -g mpsync -m 0700 /var/lib/mpsync
COPY --from=build /opt/mpsync /opt/mpsync
ENV PATH=/opt/mpsync/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
# DATABASE_URL's default, sqlite:///mpsync.db, is a file of this volume.
WORKDIR /var/lib/mpsync
VOLUME ["/var/lib/mpsync"]
STOPSIGNAL SIGTERM
# A start may migrate a large ledger for minutes: failures of that time do not count.
HEALTHCHECK --interval=60s --timeout=10s --start-period=600s --retries=3 CMD ["mpsync", "healthcheck"]
ENTRYPOINT ["mpsync"]
CMD ["run"]

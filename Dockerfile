# One file, five images: docker build --target score|serve|stream|report|train . (docs/deployment.md)
# Pin the base by its digest where you can look it up: --build-arg PYTHON=3.11-slim-bookworm@sha256:…
# Versions are those of requirements.lock, by PIP_CONSTRAINT: hadolint cannot see that.
# hadolint global ignore=DL3013
ARG PYTHON=3.11-slim-bookworm

# ---- what is built, and stays behind -------------------------------------------------------------

FROM python:${PYTHON} AS wheel
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY riskml riskml
# Packages come from pip's own index unless PIP_INDEX_URL says else. On Linux that index has torch
# with CUDA, gigabytes larger: name one with CPU builds.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore \
    PIP_CONSTRAINT=/src/requirements.lock
RUN pip wheel --no-deps --wheel-dir /wheels .

# What every image has; the versions of requirements.lock, and no others.
FROM wheel AS lean
RUN python -m venv /opt/riskml && /opt/riskml/bin/pip install --no-compile /wheels/*.whl
ENV PATH=/opt/riskml/bin:$PATH

FROM lean AS score-packages
ARG SCORE_EXTRAS=alerts,monitoring
RUN pip install --no-compile "riskml[${SCORE_EXTRAS}]"

FROM lean AS serve-packages
ARG SERVE_EXTRAS=serve
RUN pip install --no-compile "riskml[${SERVE_EXTRAS}]"

FROM lean AS stream-packages
ARG STREAM_EXTRAS=stream,monitoring
RUN pip install --no-compile "riskml[${STREAM_EXTRAS}]"

FROM lean AS report-packages
ARG REPORT_EXTRAS=report,drift,monitoring
RUN pip install --no-compile "riskml[${REPORT_EXTRAS}]"

FROM lean AS train-packages
ARG TRAIN_EXTRAS=train,alerts,monitoring
RUN pip install --no-compile "riskml[${TRAIN_EXTRAS}]"

# ---- what runs: Python, the packages, a user of no rights ----------------------------------------

# The root file system may be read-only: only /tmp is written, and what you mount (a new volume at
# one of the three folders takes over who owns it).
FROM python:${PYTHON} AS runtime
RUN groupadd --gid 10001 riskml \
    && useradd --uid 10001 --gid riskml --no-create-home --home-dir /tmp --shell /usr/sbin/nologin \
        riskml \
    && install -d -o riskml -g riskml /bundles /state /app/outputs
ENV PATH=/opt/riskml/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
ARG REVISION=unknown
LABEL org.opencontainers.image.title=riskml \
      org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.revision=${REVISION}
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["riskml"]
CMD ["--help"]

# A job, and alerts: its exit code says how it went.
FROM runtime AS score
COPY --from=score-packages /opt/riskml /opt/riskml
HEALTHCHECK NONE

FROM runtime AS serve
COPY --from=serve-packages /opt/riskml /opt/riskml
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/health', timeout=3)"]
CMD ["serve", "--bundle", "/bundles/current", "--host", "0.0.0.0", "--port", "8080"]

FROM runtime AS stream
COPY --from=stream-packages /opt/riskml /opt/riskml
EXPOSE 9180
HEALTHCHECK --interval=20s --timeout=10s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9180/metrics', timeout=8)"]
CMD ["stream", "--help"]

# PDFs are drawn with Pango, in fonts that have Korean; their versions are those of the base's Debian.
FROM runtime AS drawing
USER 0
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libpango-1.0-0 libpangoft2-1.0-0 \
        libharfbuzz-subset0 fonts-nanum fonts-noto-core \
    && rm -rf /var/lib/apt/lists/*
USER 10001:10001

# Reports of the week, and drift.
FROM drawing AS report
COPY --from=report-packages /opt/riskml /opt/riskml
ENV MPLCONFIGDIR=/tmp/matplotlib XDG_CACHE_HOME=/tmp/cache
HEALTHCHECK NONE

# Results go to /app/outputs.
FROM runtime AS train
COPY --from=train-packages /opt/riskml /opt/riskml
COPY conf /app/conf
COPY train.py evaluate.py /app/
ENV MPLCONFIGDIR=/tmp/matplotlib NUMBA_CACHE_DIR=/tmp/numba MLFLOW_DISABLE_TELEMETRY=true
WORKDIR /app
HEALTHCHECK NONE
ENTRYPOINT ["python"]
CMD ["train.py", "--help"]

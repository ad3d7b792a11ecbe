# The image of the server: `docker build --tag flowgram-server .`
#
# Base images are named by version. Pin them by digest (`--build-arg PYTHON_IMAGE=…@sha256:…`) where builds must be repeatable.
ARG NODE_IMAGE=node:24.11-bookworm-slim
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

# The console, the server's web page.
FROM ${NODE_IMAGE} AS console
WORKDIR /src/console
COPY console/package.json console/package-lock.json ./
RUN npm ci --no-audit --no-fund --ignore-scripts
COPY console ./
COPY examples /src/examples
# It builds into the server's package.
RUN node node_modules/vite/bin/vite.js build --logLevel warn

# The environment, of files whose hashes are known, and the two distributions of this project.
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY deploy/requirements.txt deploy/
RUN python -m venv /opt/flowgram \
    && /opt/flowgram/bin/python -m pip install --require-hashes --only-binary :all: --requirement deploy/requirements.txt
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY tools/require_console.py tools/
COPY clients/python clients/python
COPY runtime runtime
COPY server server
COPY --from=console /src/server/flowgram_server/gateway/console_bundle server/flowgram_server/gateway/console_bundle
RUN /opt/flowgram/bin/python -m pip install --no-deps ./clients/python . \
    && /opt/flowgram/bin/python -m pip check \
    && /opt/flowgram/bin/python -m compileall -q /opt/flowgram/lib \
    && /opt/flowgram/bin/python -m pip uninstall --yes --quiet pip

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="flowgram-server" \
      org.opencontainers.image.description="Executes FlowGram workflows durably and streams their progress" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --gid 10001 flowgram \
    && useradd --no-log-init --uid 10001 --gid 10001 --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin flowgram \
    && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/flowgram
COPY --from=build /opt/flowgram /opt/flowgram
# It listens beyond the container, and so starts only with TLS and credentials, or FLOWGRAM_INSECURE_REMOTE=true.
ENV PATH=/opt/flowgram/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    FLOWGRAM_LISTEN=0.0.0.0:50051 \
    FLOWGRAM_HTTP_LISTEN=0.0.0.0:4000 \
    FLOWGRAM_METRICS_LISTEN=0.0.0.0:9464 \
    FLOWGRAM_DATA=/var/lib/flowgram \
    FLOWGRAM_LOG_FORMAT=json
USER 10001:10001
WORKDIR /var/lib/flowgram
VOLUME /var/lib/flowgram
EXPOSE 50051 4000 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:9464/healthz', timeout=2)"]
ENTRYPOINT ["flowgram"]
CMD ["serve"]

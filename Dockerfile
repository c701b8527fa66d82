# One target a service: `docker build --target ingest .`; the Compose files name them.
# Every package comes as a wheel by its hash from requirements/, so nothing is compiled here, and TensorFlow is in the
# trainer alone. For amd64 and arm64. Works with and without BuildKit.
ARG PYTHON=python:3.11-slim-bookworm
ARG CADDY=caddy:2

FROM ${PYTHON} AS python
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/venv/bin:$PATH

# ---- what all are built with, and on ---------------------------------------------------------------------------------

FROM python AS build
# For a network with a package index of its own; empty means PyPI.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
    PIP_REQUIRE_HASHES=1 PIP_ONLY_BINARY=:all:
RUN python -m venv --without-pip /venv
COPY deploy/image/slim /usr/local/bin/
WORKDIR /src

FROM python AS service
RUN groupadd --gid 10001 emotion \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin emotion \
 && install -d -o emotion -g emotion -m 0750 /data
ENV EMOTION_DATA_DIR=/data EMOTION_LOG__FORMAT=json
WORKDIR /app
ENV PYTHONPATH=/app
COPY LICENSE ./
COPY deploy/image/emotion-edge deploy/image/ready /usr/local/bin/
ENTRYPOINT ["emotion-edge"]

# ---- the cloud's services --------------------------------------------------------------------------------------------

# The front door
FROM ${CADDY} AS proxy
COPY deploy/caddy /etc/caddy
RUN mkdir -p /caddy/data /caddy/config && chown -R 10001:10001 /caddy
ENV XDG_DATA_HOME=/caddy/data XDG_CONFIG_HOME=/caddy/config
USER 10001:10001

# What deploy/setup and deploy/device run
FROM build AS tools-packages
COPY requirements/certs.txt requirements/
RUN pip --python /venv/bin/python install --quiet -r requirements/certs.txt && slim /venv

FROM service AS tools
COPY --from=tools-packages /venv /venv
COPY deploy/image/make-secrets /usr/local/bin/
COPY shared shared
COPY services services
ENTRYPOINT ["emotion-edge"]
CMD ["--help"]

FROM build AS ingest-packages
COPY requirements/ingest.txt requirements/
RUN pip --python /venv/bin/python install --quiet -r requirements/ingest.txt && slim /venv

FROM service AS ingest
COPY --from=ingest-packages /venv /venv
COPY shared shared
COPY services services
USER 10001:10001
CMD ["ingest"]

FROM build AS web-packages
COPY requirements/web.txt requirements/
RUN pip --python /venv/bin/python install --quiet -r requirements/web.txt && slim /venv

# uPlot, by the hash in package-lock.json, with npm from its wheel
FROM build AS web-assets
COPY requirements/assets.txt requirements/
RUN pip --python /venv/bin/python install --quiet -r requirements/assets.txt
COPY package.json package-lock.json .npmrc ./
COPY shared shared
COPY services services
# for networks whose authority is in the base image: Node has a list of its own
RUN NODE_USE_SYSTEM_CA=1 python -m services.web.assets

FROM service AS web
COPY --from=web-packages /venv /venv
COPY shared shared
COPY services services
COPY --from=web-assets /src/services/web/static/vendor services/web/static/vendor
USER 10001:10001
CMD ["web"]

# ---- the services beside the camera ----------------------------------------------------------------------------------

FROM build AS capture-packages
COPY requirements/capture.txt requirements/
RUN pip --python /venv/bin/python install --quiet -r requirements/capture.txt && slim /venv

FROM service AS capture
COPY --from=capture-packages /venv /venv
COPY shared shared
COPY services services
USER 10001:10001
CMD ["capture"]

FROM build AS classifier-packages
COPY requirements/classifier.txt requirements/
RUN pip --python /venv/bin/python install --quiet -r requirements/classifier.txt && slim /venv

FROM service AS classifier
COPY --from=classifier-packages /venv /venv
COPY models models
RUN install -d -o emotion -g emotion models/detectors
COPY shared shared
COPY services services
USER 10001:10001
CMD ["classifier"]

# With GStreamer, for a Jetson's CSI camera. The camera's own elements (nvarguscamerasrc, nvjpegenc) come from the
# Jetson by NVIDIA's container runtime.
FROM capture AS capture-csi
USER 0
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good >/dev/null \
 && rm -rf /var/lib/apt/lists/*
USER 10001:10001

# ---- training --------------------------------------------------------------------------------------------------------

FROM build AS trainer-packages
COPY requirements/train.txt requirements/
RUN pip --python /venv/bin/python install --quiet -r requirements/train.txt

FROM service AS trainer
COPY --from=trainer-packages /venv /venv
COPY models models
COPY shared shared
COPY training training
USER 10001:10001
ENTRYPOINT ["python", "-m"]
CMD ["training.train", "--help"]

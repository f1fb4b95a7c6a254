# Two images from one file:
#     docker build --target cpu -t extractor:cpu .
#     docker build --target gpu -t extractor:gpu .
# No weights are inside: mount a volume at /cache and pull them into it once (docs/install.md).

FROM python:3.11-slim-bookworm AS base
ENV PATH=/opt/extractor/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]


FROM base AS build
WORKDIR /src
RUN python -m venv /opt/extractor
COPY locks/ locks/

FROM build AS build-cpu
RUN pip install --no-deps --require-hashes --only-binary :all: \
      --index-url https://download.pytorch.org/whl/cpu -r locks/torch-cpu.txt \
    && pip install --no-deps --require-hashes --only-binary :all: -r locks/cpu.txt
COPY . .
RUN pip install --no-index --no-deps --no-build-isolation .

FROM build AS build-gpu
RUN pip install --no-deps --require-hashes --only-binary :all: -r locks/gpu.txt
COPY . .
RUN pip install --no-index --no-deps --no-build-isolation .


# What both images share at run time: an unprivileged user, one writable folder, and no way to call home.
FROM base AS runtime
ENV HOME=/cache \
    XDG_CACHE_HOME=/cache \
    HF_HUB_OFFLINE=1 \
    TRANSFORMERS_OFFLINE=1 \
    VLLM_NO_USAGE_STATS=1 \
    DO_NOT_TRACK=1
RUN groupadd --gid 10001 extractor \
    && useradd --uid 10001 --gid extractor --home-dir /cache --shell /usr/sbin/nologin extractor \
    && install --directory --owner extractor --group extractor /cache
VOLUME /cache
WORKDIR /cache
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=5m --retries=4 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
ENTRYPOINT ["extractor"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]


FROM runtime AS gpu
# Triton compiles its launchers with the system's C compiler.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-gpu /opt/extractor /opt/extractor
USER 10001:10001


FROM runtime AS cpu
# vLLM's CPU kernels are linked against libnuma.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libnuma1 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build-cpu /opt/extractor /opt/extractor
USER 10001:10001

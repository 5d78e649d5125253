# The images of docker-compose.yml. Target `service` runs any of the four services: the command says which,
# for example `services.points`, `services.points migrate`. Target `edge` is Envoy with its configuration.

FROM python:3.13-slim AS python
ENV PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

FROM python AS packages
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements/runtime.txt requirements/
RUN pip install --no-deps --require-hashes --requirement requirements/runtime.txt

FROM node:24-slim AS viewer
WORKDIR /src
COPY edge/docs/package.json edge/docs/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund

FROM packages AS generated
WORKDIR /src
COPY requirements/proto.txt requirements/
RUN pip install --no-deps --require-hashes --requirement requirements/proto.txt
COPY tools/__init__.py tools/docs.py tools/errors.py tools/npm.py tools/proto.py tools/unproto.py tools/
COPY tools/openapi/ tools/openapi/
COPY edge/docs/ edge/docs/
COPY --from=viewer /src/node_modules edge/docs/node_modules/
COPY protos/ protos/
RUN python -m tools.proto

FROM envoyproxy/envoy:v1.40.0 AS edge
COPY --from=generated /src/build/api.binpb /etc/envoy/api.binpb
COPY --from=generated /src/build/docs/ /etc/envoy/docs/
COPY edge/envoy.yaml edge/start.sh /etc/envoy/
USER envoy
ENTRYPOINT ["bash", "/etc/envoy/start.sh"]
CMD []

FROM python AS service
# A new volume has the owner of the folder that it covers.
RUN useradd --system --uid 10001 --no-create-home scrip && install --directory --owner=scrip /images
WORKDIR /app
COPY --from=packages /opt/venv /opt/venv
COPY --from=generated /src/build/gen build/gen/
COPY deploy/healthcheck.py ./
COPY services/ services/
RUN python -m compileall -q build services
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app:/app/build/gen SCRIP_LISTEN=0.0.0.0:50051
USER scrip
EXPOSE 50051
ENTRYPOINT ["python", "-m"]

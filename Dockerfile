FROM node:24-bookworm-slim AS build
WORKDIR /homarus
COPY package.json package-lock.json ./
# The build that npm would run here needs the sources, which come after the layer worth caching.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY bin bin
COPY src src
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24-bookworm-slim
# The Temporal SDK's native core checks TLS certificates against the system's.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
WORKDIR /homarus
COPY --from=build /homarus/package.json ./
COPY --from=build /homarus/node_modules node_modules
COPY --from=build /homarus/dist dist
COPY bin bin
COPY dashboard dashboard
COPY examples examples
RUN ln -s /homarus/bin/homarus.js /usr/local/bin/homarus && install -d -o node -g node /data /var/lib/homarus
USER node
# Memory: docs/sizing.md.
ENV NODE_ENV=production MALLOC_MMAP_THRESHOLD_=1048576
# The init of the container is docker's (--init): it hands signals on and collects orphans.
ENTRYPOINT ["homarus"]
CMD ["--help"]

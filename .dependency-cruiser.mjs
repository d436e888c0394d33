/**
 * Who may import what: `npm run lint` allows nothing else. Types count. A folder that is not listed may import nothing and be imported
 * by nobody; whoever adds one opens it here, as far as it needs. There are no circles.
 *
 * Not seen: packages that are loaded by a computed name (OpenTelemetry, TensorFlow's bindings).
 */

/** Folders that import one another freely are one room: `folders` are inside `name`. A room may be a single file. */
const room = (name, { folders = '', imports = '', packages = '' } = {}) => ({
  paths: [name, ...words(folders).map((folder) => `${name}/${folder}`)],
  name,
  imports: words(imports),
  packages: words(packages),
});

const words = (text) => text.split(/\s+/).filter((word) => word !== '');

const algorithms = ['td3', 'sac', 'maml', 'pearl'].map((name) => `trainer/algorithms/${name}`);

/** Each may import what it lists, all of which stands above it here. */
const rooms = [
  room('src/gen', {
    folders: 'grpc/health/v1 grpc/reflection/v1 hyperpolicy/v1 inference onnx',
    packages: '@bufbuild/protobuf',
  }),
  room('src/contract', { imports: 'src/gen', packages: '@bufbuild/protobuf zod' }),
  room('src/files', { imports: 'src/contract', packages: 'pino' }),
  room('src/tracing', { imports: 'src/contract', packages: 'pino' }),
  room('src/pacing', { packages: 'pino' }),
  room('src/memory'),
  room('src/metrics', { imports: 'src/contract', packages: 'prom-client' }),
  room('src/messages', { imports: 'src/contract' }),
  room('src/advantages', { imports: 'src/contract' }),
  room('src/posterior', { imports: 'src/contract' }),
  room('src/package', { imports: 'src/contract src/files src/pacing', packages: 'zod' }),
  room('src/onnx', {
    folders: 'ops passes rows',
    imports: 'src/gen src/contract src/files src/pacing src/messages src/package',
    packages: '@bufbuild/protobuf onnxruntime-common onnxruntime-node',
  }),
  room('src/onnx/rows/assembly'),
  room('src/trace', { folders: 'gradients kernels', imports: 'src/onnx', packages: '@tensorflow/tfjs-core' }),
  room('src/nn/cpu-backend.ts', { packages: '@tensorflow/tfjs-backend-cpu @tensorflow/tfjs-core' }),
  room('src/nn', {
    folders: 'critics encoders hyper policies reference',
    imports: 'src/contract src/posterior src/package src/nn/cpu-backend.ts',
    packages: '@tensorflow/tfjs-core zod',
  }),
  room('src/optim'),
  room('src/optim/tensor-steps.ts', { imports: 'src/optim', packages: '@tensorflow/tfjs-core' }),
  room('src/optim/assembly'),
  room('src/envs', { folders: 'models tasks', imports: 'src/contract', packages: 'mujoco-js' }),
  room('src/build-wasm.mjs', { packages: 'assemblyscript' }),
  // How threads work together, whatever on, and how much memory there is.
  room('trainer/machine', { imports: 'src/contract' }),
  room('trainer/engine', {
    imports: 'src/contract src/files src/onnx src/trace src/nn/cpu-backend.ts trainer/machine',
    packages: '@tensorflow/tfjs-core',
  }),
  room('trainer/replay', { imports: 'src/contract' }),
  room('trainer/rollout', {
    folders: 'pictures',
    imports: 'src/contract src/advantages src/posterior src/package src/onnx src/envs trainer/machine trainer/replay',
  }),
  room('trainer/export', {
    imports: 'src/contract src/advantages src/posterior src/package src/onnx src/trace src/nn trainer/engine',
    packages: '@tensorflow/tfjs-core',
  }),
  room('trainer/seeing', {
    imports: 'src/contract src/files src/metrics',
    packages: '@bufbuild/protobuf @resvg/resvg-js prom-client vega vega-lite',
  }),
  room('trainer/run', {
    folders: 'environment',
    imports:
      'src/contract src/files src/package src/onnx src/envs trainer/machine trainer/engine trainer/rollout trainer/export trainer/seeing',
    packages: 'pino yaml zod',
  }),
  room('trainer/off-policy', {
    imports:
      'src/contract src/nn src/optim src/optim/tensor-steps.ts src/envs trainer/engine trainer/replay trainer/export trainer/run',
    packages: '@tensorflow/tfjs-core zod',
  }),
  room('trainer/loops', {
    imports: 'src/contract src/package src/envs trainer/replay trainer/rollout trainer/run trainer/off-policy',
    packages: 'zod',
  }),
  // Beside each other, so that none imports another.
  ...algorithms.map((name) =>
    room(name, {
      imports:
        'src/contract src/advantages src/posterior src/trace src/nn src/optim src/envs trainer/machine trainer/engine trainer/replay trainer/rollout trainer/export trainer/run trainer/off-policy trainer/loops',
      packages: '@tensorflow/tfjs-core zod',
    }),
  ),
  room('trainer/algorithms', {
    imports: `src/contract trainer/run ${algorithms.join(' ')}`,
  }),
  room('trainer/report', {
    imports:
      'src/contract src/package src/envs trainer/replay trainer/rollout trainer/seeing trainer/run trainer/algorithms',
  }),
  room('trainer/analysis', {
    imports:
      'src/contract src/package src/onnx src/envs trainer/engine trainer/rollout trainer/seeing trainer/run trainer/algorithms trainer/algorithms/maml trainer/report',
  }),
  room('trainer/sweep', {
    imports: 'src/contract src/files src/envs trainer/run trainer/algorithms trainer/report',
    packages: 'yaml zod',
  }),
  room('trainer', { imports: 'src/contract src/package trainer/engine trainer/seeing trainer/run trainer/algorithms' }),
  // The server never trains: no network of src/nn, no tfjs, no MuJoCo. Of gRPC's and Connect's libraries only `transport` knows.
  room('server/config.ts', { imports: 'src/contract src/tracing src/onnx', packages: 'zod' }),
  room('server/call', { imports: 'src/gen src/contract src/onnx', packages: '@bufbuild/protobuf pino' }),
  room('server/access', {
    imports: 'src/contract src/files src/pacing server/config.ts server/call',
    packages: 'pino zod',
  }),
  room('server/compute', { imports: 'src/contract src/package src/onnx server/call' }),
  room('server/weights', { imports: 'src/contract src/memory src/package src/onnx server/call server/compute' }),
  room('server/handles', { imports: 'src/contract src/files src/posterior server/config.ts', packages: 'pino' }),
  room('server/telemetry', {
    imports:
      'src/contract src/files src/pacing src/tracing src/metrics server/config.ts server/call server/weights server/handles',
    packages: 'pino prom-client',
  }),
  room('server/models', {
    imports:
      'src/gen src/contract src/pacing src/memory src/advantages src/posterior src/package src/onnx server/config.ts server/call server/compute server/weights server/telemetry',
    packages: 'pino',
  }),
  room('server/methods', {
    imports:
      'src/gen src/contract src/advantages src/posterior src/onnx server/config.ts server/call server/weights server/handles server/telemetry server/models',
    packages: '@bufbuild/protobuf',
  }),
  room('server/kserve', {
    imports:
      'src/gen src/contract src/package server/config.ts server/call server/telemetry server/models server/methods',
  }),
  room('server/transport', {
    imports:
      'src/gen src/contract src/files src/pacing server/config.ts server/call server/access server/telemetry server/methods',
    packages: '@bufbuild/protobuf @connectrpc/connect @connectrpc/connect-node @grpc/grpc-js pino',
  }),
  room('server/routes.ts', {
    imports:
      'src/gen src/contract server/config.ts server/call server/access server/telemetry server/models server/methods server/kserve server/transport',
    packages: '@bufbuild/protobuf',
  }),
  room('server/serving.ts', {
    imports:
      'src/gen src/tracing src/memory src/metrics src/onnx server/config.ts server/call server/access server/compute server/weights server/handles server/telemetry server/models server/methods server/transport server/routes.ts',
    packages: 'pino',
  }),
  room('server/running.ts', {
    imports: 'src/gen src/contract src/metrics server/config.ts server/models server/transport server/routes.ts',
    packages: 'pino',
  }),
  room('server/main.ts', {
    imports:
      'src/contract server/config.ts server/handles server/telemetry server/models server/serving.ts server/running.ts',
    packages: 'pino',
  }),
  room('server/processes', {
    imports:
      'src/gen src/contract src/files src/metrics src/messages server/config.ts server/call server/access server/handles server/telemetry server/models server/serving.ts server/running.ts',
    packages: '@bufbuild/protobuf pino prom-client',
  }),
  // Nobody imports the command. It imports trainer and server when a subcommand needs them: test/imports.test.ts.
  room('clients/typescript', { imports: 'src/gen src/contract', packages: '@bufbuild/protobuf @grpc/grpc-js' }),
  room('clients/robot', { imports: 'src/contract clients/typescript' }),
  room('clients/generate.mjs'),
  room('clients/cli', {
    imports:
      'src/contract src/files src/package src/nn src/envs trainer/rollout trainer/export trainer/seeing trainer/run trainer/algorithms trainer/report trainer/analysis trainer/sweep trainer server/config.ts server/main.ts server/processes clients/typescript',
    packages: 'commander',
  }),
];

const escaped = (path) => path.replaceAll('.', '\\.');
/** Files of a room, not of folders inside it that are not its own. */
const filesOf = ({ paths }) =>
  paths.map((path) => (/\.m?ts$|\.mjs$/.test(path) ? `^${escaped(path)}$` : `^${escaped(path)}/[^/]+$`));
const filesOfPackage = (name) => `^node_modules/${escaped(name)}/`;

/** A room that stands above another in the list. */
function above(lower, name) {
  const found = rooms.slice(0, rooms.indexOf(lower)).find((one) => one.name === name);
  if (found !== undefined) return found;
  throw new Error(`.dependency-cruiser.mjs: ${lower.name}: expected rooms that stand above it, got "${name}"`);
}

export default {
  allowed: [
    // Node's own modules are open to all.
    { from: {}, to: { dependencyTypes: ['core'] } },
    ...rooms.map((one) => ({
      from: { path: filesOf(one) },
      to: {
        path: [one, ...one.imports.map((name) => above(one, name))]
          .flatMap(filesOf)
          .concat(one.packages.map(filesOfPackage)),
      },
    })),
    // Tests reach every room that is listed, and every package.
    { from: { path: '^test/' }, to: { path: ['^test/', '^node_modules/', ...rooms.flatMap(filesOf)] } },
    { from: { path: '^vitest\\.config\\.ts$' }, to: { path: '^node_modules/vitest/' } },
  ],
  allowedSeverity: 'error',
  forbidden: [{ name: 'no-circular', severity: 'error', from: {}, to: { circular: true } }],
  options: {
    parser: 'swc',
    moduleSystems: ['es6'],
    tsPreCompilationDeps: true,
    doNotFollow: { path: '^node_modules/' },
    exclude: { path: '^dist/' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
};

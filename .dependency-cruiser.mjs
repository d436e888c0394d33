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

/** Each of these rooms may also import those below. */
const on = (below, rooms) =>
  rooms.map((one) => ({ ...one, imports: [...one.imports, ...below.map(({ name }) => name)] }));

/** Rooms that stand on each other: each may import those that are listed before it. */
const storeys = (rooms) => rooms.flatMap((one, i) => on(rooms.slice(0, i), [one]));

const words = (text) => text.split(/\s+/).filter((word) => word !== '');

const libraries = [
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
    imports: 'src/gen src/contract src/messages src/package src/pacing',
    packages: '@bufbuild/protobuf onnxruntime-common onnxruntime-node',
  }),
  room('src/onnx/rows/assembly'),
  room('src/trace', { folders: 'gradients kernels', imports: 'src/onnx', packages: '@tensorflow/tfjs-core' }),
  room('src/nn', {
    folders: 'critics encoders hyper policies reference',
    imports: 'src/contract src/package src/posterior',
    packages: '@tensorflow/tfjs-core @tensorflow/tfjs-backend-cpu zod',
  }),
  room('src/optim'),
  room('src/optim/tensor-steps.ts', { imports: 'src/optim', packages: '@tensorflow/tfjs-core' }),
  room('src/optim/assembly'),
  room('src/envs', { folders: 'models tasks', imports: 'src/contract', packages: 'mujoco-js' }),
  room('src/build-wasm.mjs', { packages: 'assemblyscript' }),
];

const everyLibrary =
  'src/gen src/contract src/files src/metrics src/pacing src/advantages src/posterior src/package src/onnx src/trace src/nn src/optim src/envs';

const tensors = '@tensorflow/tfjs-core';

const belowAlgorithms = storeys([
  room('trainer/engine', { imports: everyLibrary, packages: `${tensors} @tensorflow/tfjs-backend-cpu` }),
  room('trainer/replay', { imports: everyLibrary }),
  room('trainer/rollout', { folders: 'pictures', imports: everyLibrary }),
  room('trainer/export', { imports: everyLibrary, packages: tensors }),
  room('trainer/seeing', {
    imports: everyLibrary,
    packages: '@bufbuild/protobuf @resvg/resvg-js prom-client vega vega-lite',
  }),
  room('trainer/run', { folders: 'environment', imports: everyLibrary, packages: `${tensors} pino yaml zod` }),
  room('trainer/off-policy', { imports: everyLibrary, packages: `${tensors} zod` }),
  room('trainer/loops', { imports: everyLibrary, packages: `${tensors} zod` }),
]);

/** Beside each other, so that none imports another. */
const algorithms = on(
  belowAlgorithms,
  ['td3', 'sac', 'maml', 'pearl', 'recurrent'].map((name) =>
    room(`trainer/algorithms/${name}`, { imports: everyLibrary, packages: `${tensors} zod` }),
  ),
);

const aboveAlgorithms = on(
  [...belowAlgorithms, ...algorithms],
  storeys([
    room('trainer/algorithms', { imports: everyLibrary }),
    room('trainer/report', { imports: everyLibrary }),
    room('trainer/sweep', { imports: everyLibrary, packages: 'yaml zod' }),
    room('trainer/analysis', { imports: everyLibrary, packages: tensors }),
    room('trainer', { imports: everyLibrary, packages: `${tensors} zod` }),
  ]),
);

const trainer = [...belowAlgorithms, ...algorithms, ...aboveAlgorithms];

/** The server never trains: no network of src/nn, no tfjs, no MuJoCo. Only `transport` knows gRPC's and Connect's libraries. */
const server = (name, packages = '') =>
  room(`server/${name}`, {
    imports:
      'src/gen src/contract src/files src/memory src/tracing src/messages src/metrics src/pacing src/advantages src/posterior src/package src/onnx',
    packages: `pino ${packages}`,
  });

const serverRooms = storeys([
  server('config.ts', 'zod'),
  server('call', '@bufbuild/protobuf'),
  server('access', 'zod'),
  server('compute'),
  server('weights'),
  server('handles'),
  server('telemetry', 'prom-client'),
  server('models'),
  server('methods', '@bufbuild/protobuf'),
  server('kserve', '@bufbuild/protobuf'),
  server('transport', '@bufbuild/protobuf @grpc/grpc-js @connectrpc/connect @connectrpc/connect-node prom-client'),
  server('routes.ts', '@bufbuild/protobuf'),
  server('serving.ts'),
  server('running.ts'),
  server('main.ts'),
  server('processes', '@bufbuild/protobuf prom-client'),
]);

/** Nobody imports the command. It imports the trainer and most of the server when a subcommand needs them: test/imports.test.ts. */
const clients = [
  room('clients/typescript', { imports: 'src/gen src/contract', packages: '@bufbuild/protobuf @grpc/grpc-js' }),
  room('clients/robot', { imports: 'src/contract clients/typescript' }),
  room('clients/generate.mjs'),
  room('clients/cli', {
    imports: `${everyLibrary} clients/typescript ${[...trainer, ...serverRooms].map(({ name }) => name).join(' ')}`,
    packages: 'commander',
  }),
];

const rooms = [...libraries, ...trainer, ...serverRooms, ...clients];

const escaped = (path) => path.replaceAll('.', '\\.');
/** Files of a room, not of folders inside it that are not its own. */
const filesOf = ({ paths }) =>
  paths.map((path) => (/\.m?ts$|\.mjs$/.test(path) ? `^${escaped(path)}$` : `^${escaped(path)}/[^/]+$`));
const filesOfPackage = (name) => `^node_modules/${escaped(name)}/`;

const byName = new Map(rooms.map((one) => [one.name, one]));
function find(name) {
  const found = byName.get(name);
  if (found === undefined) throw new Error(`.dependency-cruiser.mjs: expected a room that is listed, got "${name}"`);
  return found;
}

export default {
  allowed: [
    // Node's own modules are open to all.
    { from: {}, to: { dependencyTypes: ['core'] } },
    ...rooms.map((one) => ({
      from: { path: filesOf(one) },
      to: {
        path: [one, ...one.imports.map(find)].flatMap(filesOf).concat(one.packages.map(filesOfPackage)),
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

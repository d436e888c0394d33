/** Every kind of package is served on the device, so its probes are within their 1e-4, and answers as the CPU does. */

import { join } from 'node:path';
import { createPolicyClient, type PolicyClient } from '../../../clients/typescript/client.ts';
import { createRandom } from '../../../src/contract/random.ts';
import { publishRandomPackage, type RandomOptions } from '../../../trainer/export/random-package.ts';
import { normals } from '../serve-requests.ts';
import { kinds, sizes } from './kinds.ts';
import { difference, guarded, type Section } from './section.ts';
import { type CheckedServer, startServer } from './server.ts';

const rowCount = 64;
const answerTolerance = 1e-5;
/** New rows run fused, then their weights are generated, then they are known. */
const times = ['first', 'second', 'third'];

/** Large enough for the device, where everything below runs in WASM or on one thread. */
const networks = { hiddenSize: 256, trunkSizes: [256, 512] };
const smallNetworks = { hiddenSize: 32, trunkSizes: [64] };

export async function serving({ device, isQuick, lines, scratch, signal }: Section): Promise<void> {
  const store = join(scratch, 'store');
  const models = Object.entries(kinds).map(([kind, options], i) => ({ kind, options, model: `model${i}` }));
  for (const { model, options } of models) {
    await publishRandomPackage({ store, model, ...sizes, ...(isQuick ? smallNetworks : networks), ...options });
  }
  const ends: (() => unknown)[] = [];
  const open = async (on: Section['device'], newRows: 'auto' | 'kept'): Promise<Served> => {
    const server = await startServer({ device: on, lines, signal }, store, ['--new-rows', newRows]);
    ends.push(server.stop);
    const client = createPolicyClient({ address: `127.0.0.1:${server.port}`, timeoutMs: 60_000 });
    ends.push(client.close);
    return { server, client };
  };
  try {
    const { client: onCpu } = await open('cpu', 'kept');
    const { client: onDevice, server } = await open(device, 'auto');
    for (const { model, kind, options } of models) {
      const failure = await onDevice.getModel({ model }).then(
        () => undefined,
        (error: Error) => error.message,
      );
      const refused = server.refusal(model);
      const why = [failure, refused && `refused: ${refused}`].filter(Boolean).join('; ');
      lines.check('served, probes within 1e-4', failure === undefined, { device, kind, ...(failure && { why }) });
      if (failure !== undefined) continue;
      const compared = { onCpu, onDevice, model, device, kind, lines };
      const guard = guarded.bind(null, { lines, signal });
      if (options.policy !== 'none') {
        await guard('Act', { device, kind }, () => compareActs({ ...compared, options }));
      }
      if (options.critic !== 'none') await guard('QGrad', { device, kind }, () => compareGradients(compared));
    }
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

type Served = { readonly server: CheckedServer; readonly client: PolicyClient };

type Compared = {
  readonly onCpu: PolicyClient;
  readonly onDevice: PolicyClient;
  readonly model: string;
  readonly device: Section['device'];
  readonly kind: string;
  readonly lines: Section['lines'];
};

const rows = (seed: number, count: number, size: number) => ({
  shape: [count, size],
  values: normals(createRandom(seed), count * size),
});

async function compareActs({ options, ...compared }: Compared & { readonly options: RandomOptions }) {
  const { onCpu, onDevice, model } = compared;
  const hasContext = options.policy === 'hyper' || options.encoder === true || (options.contextSize ?? 0) > 0;
  const request = {
    model,
    observation: rows(1, rowCount, sizes.observationSize),
    ...(hasContext && { context: rows(2, rowCount, sizes.contextSize) }),
  };
  const expected = (await onCpu.act(request)).action.values;
  for (const time of times) {
    const actual = (await onDevice.act(request)).action.values;
    compare(compared, { name: 'Act', time, actual, expected });
  }
}

async function compareGradients(compared: Compared) {
  const { onCpu, onDevice, model } = compared;
  const request = (seed: number) => ({
    model,
    observation: rows(seed, rowCount, sizes.observationSize),
    action: rows(seed + 1, rowCount, sizes.actionSize),
  });
  const [gradients, ascent] = [request(3), { ...request(5), ascent: { stepCount: 16, stepSize: 1e-2 } }];
  const expected = await onCpu.qGrad(gradients);
  const climbed = await onCpu.qGrad(ascent);
  for (const time of times) {
    const actual = await onDevice.qGrad(gradients);
    compare(compared, { name: 'q of QGrad', time, actual: actual.q.values, expected: expected.q.values });
    compare(compared, { name: 'QGrad', time, actual: actual.dqDa.values, expected: expected.dqDa.values });
    const higher = await onDevice.qGrad(ascent);
    const name = 'where an ascent of QGrad ends';
    compare(compared, { name, time, actual: higher.action!.values, expected: climbed.action!.values });
    compare(compared, { name: 'q of an ascent', time, actual: higher.q.values, expected: climbed.q.values });
  }
}

type Answers = Readonly<Record<'name' | 'time', string> & Record<'actual' | 'expected', ArrayLike<number>>>;

function compare({ lines, device, kind }: Compared, { name, time, actual, expected }: Answers): void {
  const most = difference(actual, expected);
  lines.check(`${name} as on the cpu, within ${answerTolerance}`, most <= answerTolerance, {
    device,
    kind,
    time,
    difference: most,
  });
}

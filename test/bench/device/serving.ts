/** Every kind of package is served on the device, so its probes are within their 1e-4, and answers as the CPU does. */

import { join } from 'node:path';
import { createPolicyClient, type PolicyClient } from '../../../clients/typescript/client.ts';
import { createRandom } from '../../../src/contract/random.ts';
import { publishRandomPackage, type RandomOptions } from '../../../trainer/export/random-package.ts';
import { startServerProcess } from '../serve-processes.ts';
import { normals } from '../serve-requests.ts';
import { difference, type Section } from './section.ts';

const sizes = { observationSize: 17, actionSize: 6, contextSize: 2 } as const;
const rowCount = 64;
const answerTolerance = 1e-5;
/** New rows run fused, then their weights are generated, then they are known. */
const times = ['first', 'second', 'third'];

/** What the manifest allows, by name. */
const kinds: Readonly<Record<string, RandomOptions>> = {
  'plain policy': { policy: 'plain', critic: 'none', contextSize: 0 },
  'plain policy, sampled': { policy: 'plain', critic: 'none', contextSize: 0, stochastic: true },
  'hyper policy': { policy: 'hyper', critic: 'none' },
  'hyper policy with a gradient step': { policy: 'hyper', critic: 'none', stochastic: true, adapt: true },
  'hyper policy with an encoder': { policy: 'hyper', critic: 'none', stochastic: true, encoder: true },
  'plain critic': { policy: 'none', critic: 'plain', contextSize: 0 },
  'hyper critic': { policy: 'none', critic: 'hyper', contextSize: 0 },
  'hyper policy and critic': { policy: 'hyper', critic: 'hyper' },
};

/** Large enough for the device, where everything below runs in WASM or on one thread. */
const networks = { hiddenSize: 256, trunkSizes: [256, 512] };
const smallNetworks = { hiddenSize: 32, trunkSizes: [64] };

export async function serving({ device, isQuick, lines, scratch }: Section): Promise<void> {
  const store = join(scratch, 'store');
  const models = Object.entries(kinds).map(([kind, options], i) => ({ kind, options, model: `model${i}` }));
  for (const { model, options } of models) {
    await publishRandomPackage({ store, model, ...sizes, ...(isQuick ? smallNetworks : networks), ...options });
  }
  const ends: (() => unknown)[] = [];
  const clientOf = async (on: string, newRows: 'auto' | 'kept'): Promise<PolicyClient> => {
    const server = await startServerProcess(store, ['--device', on, '--new-rows', newRows]);
    ends.push(server.stop);
    const client = createPolicyClient({ address: `127.0.0.1:${server.port}`, timeoutMs: 60_000 });
    ends.push(client.close);
    return client;
  };
  try {
    const onCpu = await clientOf('cpu', 'kept');
    const onDevice = await clientOf(device, 'auto');
    for (const { model, kind, options } of models) {
      const isServed = await onDevice.getModel({ model }).then(
        () => true,
        (error: Error) => error.message,
      );
      lines.check('served, probes within 1e-4', isServed === true, {
        kind,
        ...(isServed !== true && { why: isServed }),
      });
      if (isServed !== true) continue;
      if (options.policy !== 'none') await compareActs({ onCpu, onDevice, model, kind, options, lines });
      if (options.critic !== 'none') await compareGradients({ onCpu, onDevice, model, kind, lines });
    }
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

type Compared = {
  readonly onCpu: PolicyClient;
  readonly onDevice: PolicyClient;
  readonly model: string;
  readonly kind: string;
  readonly lines: Section['lines'];
};

const rows = (seed: number, count: number, size: number) => ({
  shape: [count, size],
  values: normals(createRandom(seed), count * size),
});

async function compareActs({ onCpu, onDevice, model, kind, options, lines }: Compared & { options: RandomOptions }) {
  const hasContext = options.policy === 'hyper' || options.encoder === true;
  const request = {
    model,
    observation: rows(1, rowCount, sizes.observationSize),
    ...(hasContext && { context: rows(2, rowCount, sizes.contextSize) }),
  };
  const expected = (await onCpu.act(request)).action.values;
  for (const time of times) {
    const actual = (await onDevice.act(request)).action.values;
    compared(lines, { name: 'Act', kind, time, actual, expected });
  }
}

async function compareGradients({ onCpu, onDevice, model, kind, lines }: Compared) {
  const request = (seed: number) => ({
    model,
    observation: rows(seed, rowCount, sizes.observationSize),
    action: rows(seed + 1, rowCount, sizes.actionSize),
  });
  const [gradients, ascent] = [request(3), { ...request(5), ascent: { stepCount: 16, stepSize: 1e-2 } }];
  const expected = (await onCpu.qGrad(gradients)).dqDa.values;
  const climbed = (await onCpu.qGrad(ascent)).action!.values;
  for (const time of times) {
    const actual = (await onDevice.qGrad(gradients)).dqDa.values;
    compared(lines, { name: 'QGrad', kind, time, actual, expected });
    const actions = (await onDevice.qGrad(ascent)).action!.values;
    compared(lines, { name: 'where an ascent of QGrad ends', kind, time, actual: actions, expected: climbed });
  }
}

function compared(
  lines: Section['lines'],
  {
    name,
    kind,
    time,
    actual,
    expected,
  }: Record<'name' | 'kind' | 'time', string> & Record<'actual' | 'expected', ArrayLike<number>>,
): void {
  const most = difference(actual, expected);
  lines.check(`${name} as on the cpu, within ${answerTolerance}`, most <= answerTolerance, {
    kind,
    time,
    difference: most,
  });
}

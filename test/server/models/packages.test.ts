/** Packages that are damaged or hostile in ways that a checksum does not see: the digests in their manifests are right. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { createRandom } from '../../../src/contract/random.ts';
import {
  type ModelProto,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
} from '../../../src/gen/onnx/onnx_pb.ts';
import { startTestServer, temporaryStore } from '../fixtures.ts';

const sizes = { observationSize: 3, actionSize: 2, hiddenSize: 8, trunkSizes: [16] } as const;
const hyper = (seed: number) =>
  ({ model: 'm', policy: 'hyper', critic: 'plain', contextSize: 2, seed, ...sizes }) as const;
const request = { model: 'm', observation: [0.1, 0.2, 0.3], context: [1, 2] };

type Manifest = {
  format: string;
  model: string;
  version: number;
  fingerprint: string;
  files: Record<string, { bytes: number; sha256: string }>;
  policy: {
    primary: { file: string; outputs: { shape: (number | string)[] }[] };
    dynamic: { inputs: { shape: unknown[] }[] };
  };
  probes: { inputs: Record<string, { shape: number[]; values: unknown[] }> }[];
};

async function editManifest(directory: string, edit: (manifest: Manifest) => void): Promise<void> {
  const path = join(directory, 'manifest.json');
  const manifest = JSON.parse(await readFile(path, 'utf8')) as Manifest;
  edit(manifest);
  await writeFile(path, JSON.stringify(manifest));
}

/** Replaces a file, and its size and digest in the manifest. */
async function replaceFile(directory: string, file: string, bytes: Uint8Array): Promise<void> {
  await writeFile(join(directory, file), bytes);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  await editManifest(directory, ({ files }) => {
    files[file] = { bytes: bytes.length, sha256 };
  });
}

async function editGraph(directory: string, file: string, edit: (model: ModelProto) => void): Promise<void> {
  const model = fromBinary(ModelProtoSchema, await readFile(join(directory, file)));
  edit(model);
  await replaceFile(directory, file, toBinary(ModelProtoSchema, model));
}

const primary = 'policy.primary.onnx';
const dynamic = 'policy.dynamic.onnx';

/** `external_data` (13) with one entry and `data_location` (14) of a TensorProto, which this project never writes. */
function externalData(location: string): NonNullable<ModelProto['$unknown']> {
  const entry = Buffer.concat([
    Buffer.from([0x0a, 8]),
    Buffer.from('location'),
    Buffer.from([0x12, location.length]),
    Buffer.from(location),
  ]);
  return [
    { no: 13, wireType: 2, data: Buffer.concat([Buffer.from([entry.length]), entry]) },
    { no: 14, wireType: 0, data: new Uint8Array([1]) },
  ];
}

const cases: readonly [string, (directory: string) => Promise<unknown>, RegExp][] = [
  [
    'a graph cut short',
    async (directory) => replaceFile(directory, primary, (await readFile(join(directory, primary))).subarray(0, 900)),
    /policy\.primary\.onnx/,
  ],
  ['an empty graph', (directory) => replaceFile(directory, dynamic, new Uint8Array()), /policy\.dynamic\.onnx/],
  [
    'an unknown operator',
    (directory) =>
      editGraph(directory, dynamic, ({ graph }) => {
        graph!.node.push(create(NodeProtoSchema, { opType: 'LaunchMissiles', input: ['observation'], output: ['x'] }));
      }),
    /LaunchMissiles/,
  ],
  [
    'a graph that runs as many rows as the probes have and no others',
    (directory) =>
      editGraph(directory, primary, ({ graph }) => {
        const rawData = new Uint8Array(new BigInt64Array([3n, 2n]).buffer);
        graph!.initializer.push(create(TensorProtoSchema, { name: 'three', dims: [2n], dataType: 7, rawData }));
        for (const node of graph!.node) {
          node.input = node.input.map((name) => (name === 'context' ? 'three rows' : name));
        }
        const input = ['context', 'three'];
        graph!.node.unshift(create(NodeProtoSchema, { opType: 'Reshape', input, output: ['three rows'] }));
      }),
    /policy\.primary\.onnx: expected a graph that runs one row/,
  ],
  [
    'an operator of another domain',
    (directory) =>
      editGraph(directory, dynamic, ({ graph }) => {
        const $unknown = [{ no: 7, wireType: 2, data: Buffer.from('\x07ai.evil') }];
        graph!.node.push({
          ...create(NodeProtoSchema, { opType: 'Relu', input: ['observation'], output: ['x'] }),
          $unknown,
        });
      }),
    /ai\.evil/,
  ],
  ...['/etc/passwd', '../../../../../etc/passwd', 'package.json']
    .map(
      (location) =>
        [
          `values outside the package, in ${location}`,
          (directory: string) =>
            editGraph(directory, primary, ({ graph }) => {
              const tensor = graph!.initializer.find(({ dims }) => dims.length === 2)!;
              tensor.rawData = new Uint8Array();
              tensor.$unknown = externalData(location);
            }),
          /policy\.primary\.onnx/,
        ] as const,
    )
    .map((one) => [...one] as [string, (directory: string) => Promise<unknown>, RegExp]),
  [
    'an initialiser of huge dimensions',
    (directory) =>
      editGraph(directory, primary, ({ graph }) => {
        graph!.initializer[0]!.dims = [1n << 31n, 1n << 31n];
      }),
    /policy\.primary\.onnx/,
  ],
  [
    'weights of huge dimensions in the manifest',
    (directory) =>
      editManifest(directory, ({ policy }) => {
        for (const { shape } of policy.primary.outputs) shape.splice(1, shape.length, 1e9, 1e9);
      }),
    /policy\.(primary|dynamic)\.onnx/,
  ],
  [
    'a file outside the package by name',
    (directory) =>
      editManifest(directory, ({ files }) =>
        Object.assign(files, { '../1/manifest.json': { bytes: 1, sha256: 'a'.repeat(64) } }),
      ),
    /manifest\.json/,
  ],
  [
    'a link to a file outside',
    async (directory) => {
      const bytes = await readFile('/etc/hosts');
      await replaceFile(directory, primary, bytes);
      await rm(join(directory, primary));
      await symlink('/etc/hosts', join(directory, primary));
    },
    /policy\.primary\.onnx: expected a file of the package, got a link out of it/,
  ],
  [
    'a manifest that never ends',
    async (directory) => {
      await rm(join(directory, 'manifest.json'));
      await symlink('/dev/zero', join(directory, 'manifest.json'));
    },
    /manifest\.json: expected a file of the package, got a link out of it/,
  ],
  [
    'a pipe that nobody writes to',
    async (directory) => {
      await rm(join(directory, primary));
      execFileSync('mkfifo', [join(directory, primary)]);
    },
    /policy\.primary\.onnx: expected a regular file, got something else/,
  ],
  [
    'a manifest of a gigabyte',
    (directory) => truncate(join(directory, 'manifest.json'), 2 ** 30),
    /manifest\.json: expected at most \d+ bytes, got 1073741824/,
  ],
  [
    'a format of the future',
    (directory) => editManifest(directory, (m) => Object.assign(m, { format: '2.0' })),
    /format/,
  ],
  [
    'the name of another model',
    (directory) => editManifest(directory, (m) => Object.assign(m, { model: 'other' })),
    /model "m"/,
  ],
  [
    'the number of another version',
    (directory) => editManifest(directory, (m) => Object.assign(m, { version: 7 })),
    /version "2"/,
  ],
  [
    'a fingerprint of other specs',
    (directory) => editManifest(directory, (m) => Object.assign(m, { fingerprint: `sha256:${'0'.repeat(64)}` })),
    /fingerprint/,
  ],
  [
    'a probe that is not numbers',
    (directory) => editManifest(directory, ({ probes }) => probes[0]!.inputs.observation!.values.fill('x')),
    /probes/,
  ],
  [
    'a probe of another size than it says',
    (directory) => editManifest(directory, ({ probes }) => probes[0]!.inputs.observation!.values.pop()),
    /./,
  ],
];

describe('a package that lies', () => {
  test.each(cases)('%s: refused with its reason, while the version before serves', async (_, damage, reason) => {
    const store = await temporaryStore([hyper(1), hyper(2)]);
    await damage(join(store, 'm', '2'));
    const { client, lines } = await startTestServer([], { store });
    expect((await client.act(request)).version).toBe(1);
    const refusal = lines.find(({ msg }) => msg === 'model version refused');
    expect(refusal).toMatchObject({ model: 'm', version: 2, reason: expect.stringMatching(reason) });
    // Nothing that a client sees names a path of the server, and no list has the version.
    expect((await client.listModels())[0]!.versions).toEqual([1]);
  });

  test('bits that are flipped anywhere in a graph end nothing but that version', { timeout: 240_000 }, async () => {
    const store = await temporaryStore([hyper(1), hyper(2)]);
    const { client, server, lines } = await startTestServer([], { store });
    const random = createRandom(1);
    const directory = join(store, 'm', '2');
    const originals = new Map<string, Buffer>();
    for (const file of [primary, dynamic]) originals.set(file, await readFile(join(directory, file)));
    let servedCount = 0;
    for (let attempt = 0; attempt < 60; attempt++) {
      const file = [primary, dynamic][attempt % 2]!;
      const bytes = Buffer.from(originals.get(file)!);
      // Half of them where the structure is, at the beginning and the end of the file; the others anywhere.
      const at =
        attempt % 4 < 2 ? random.integer(bytes.length) : (random.integer(600) - 300 + bytes.length) % bytes.length;
      bytes[at]! ^= 1 << random.integer(8);
      await replaceFile(directory, file, bytes);
      await server.models.refresh();
      const { version, action } = await client.act(request);
      expect(action.values.every((value) => Math.abs(value) <= 1)).toBe(true);
      if (version === 2) servedCount++;
      await replaceFile(directory, file, originals.get(file)!);
    }
    // Most flips are in values: the probes see those that matter. Some do not, such as a bit of a name that nobody reads.
    const refusedCount = lines.filter(({ msg }) => msg === 'model version refused').length;
    expect(refusedCount).toBeGreaterThan(20);
    expect(servedCount + refusedCount).toBeGreaterThanOrEqual(60);
  });
});

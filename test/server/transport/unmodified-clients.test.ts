/** Clients that others wrote, as they are: Triton's in Python, and grpcurl. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testWith } from '../../requirements.ts';
import { startTestServer, type TestServer } from '../fixtures.ts';

const python = process.env.HYPERPOLICY_PYTHON ?? 'python3';
const grpcurl = process.env.HYPERPOLICY_GRPCURL ?? 'grpcurl';
const runs = (command: string, ...args: string[]) => spawnSync(command, args).status === 0;

const tritonTest = testWith(
  runs(python, '-c', 'import tritonclient.grpc'),
  "Triton's client for Python",
  'pip install "tritonclient[grpc]", or name a Python that has it in HYPERPOLICY_PYTHON',
);
// It is built by Go: where there is no Go, nobody can ask for it.
const hasGrpcurl = runs(grpcurl, '-version');
const grpcurlTest =
  hasGrpcurl || runs('go', 'version')
    ? testWith(
        hasGrpcurl,
        'grpcurl',
        'go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3, or name it in HYPERPOLICY_GRPCURL',
      )
    : test.skip;

type Run = { readonly code: number | null; readonly out: string; readonly error: string };

async function run(command: string, args: readonly string[], input = ''): Promise<Run> {
  const child: ChildProcess = spawn(command, args, { stdio: 'pipe' });
  let out = '';
  let error = '';
  child.stdout!.on('data', (text) => {
    out += text;
  });
  child.stderr!.on('data', (text) => {
    error += text;
  });
  child.stdin!.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, error };
}

let server: TestServer;
beforeAll(async () => {
  const sizes = { observationSize: 3, actionSize: 2, contextSize: 2, hiddenSize: 8, trunkSizes: [16] } as const;
  server = await startTestServer([{ model: 'hyper', policy: 'hyper', critic: 'hyper', ...sizes }], {}, afterAll);
});

const observation = [
  [0.5, 0.25, 0.125],
  [1, 2, 3],
];
const context = [
  [1, 2],
  [3, 4],
];
const rowsOf = ({ values }: { readonly values: Float32Array }) => [
  [...values.subarray(0, values.length / 2)],
  [...values.subarray(values.length / 2)],
];

describe('an unmodified client', () => {
  tritonTest('of Triton reads, infers and streams, with the numbers of Act and QGrad', async () => {
    const action = [
      [0.5, -0.5],
      [0, 0.25],
    ];
    const unseen = { observation, context: [context[1], context[0]] };
    const input = { policy: { observation, context }, critic: { observation, action }, unseen, streamCount: 10 };
    const script = fileURLToPath(new URL('../triton.py', import.meta.url));
    const { code, out, error } = await run(python, [script, server.address], JSON.stringify(input));
    expect([code, error]).toEqual([0, '']);
    const expected = rowsOf((await server.client.act({ model: 'hyper', observation, context })).action);
    const { q, dqDa } = await server.client.qGrad({ model: 'hyper', observation, action, reduction: 'q1' });
    const printed = JSON.parse(out);
    expect(printed).toMatchObject({
      live: true,
      ready: true,
      modelReady: [true, true, false],
      server: 'hyperpolicy',
      index: [
        ['hyper', '1', 'READY'],
        ['hyper.critic', '1', 'READY'],
      ],
      config: {
        name: 'hyper',
        max_batch_size: 4096,
        input: [
          { name: 'observation', data_type: 'TYPE_FP32', dims: ['3'] },
          { name: 'context', data_type: 'TYPE_FP32', dims: ['2'] },
        ],
        output: [{ name: 'action', data_type: 'TYPE_FP32', dims: ['2'] }],
      },
      inputs: [
        ['observation', 'FP32', [-1, 3]],
        ['context', 'FP32', [-1, 2]],
      ],
      outputs: [['action', 'FP32', [-1, 2]]],
      id: 'seven',
      policy: { action: expected },
      async: { action: expected },
      refused: ['StatusCode.INVALID_ARGUMENT', expect.stringMatching(/^ModelInfer /)],
      sequence: [
        'StatusCode.INVALID_ARGUMENT',
        'ModelInfer parameters: expected some of timeout, priority, triton_enable_empty_final_response, got "sequence_end"',
      ],
      late: [
        'StatusCode.DEADLINE_EXCEEDED',
        expect.stringMatching(/^ModelInfer: expected an answer within the budget/),
      ],
      statistics: [
        {
          name: 'hyper',
          version: '1',
          // Two calls of two rows; three refusals: a wrong width, a sequence and a timeout.
          inference_count: '4',
          execution_count: '2',
          inference_stats: {
            success: { count: '2', ns: expect.stringMatching(/^[1-9]/) },
            compute_infer: { count: '2', ns: expect.stringMatching(/^[1-9]/) },
            fail: { count: '3' },
          },
        },
      ],
      allStatistics: [
        ['hyper', '1'],
        ['hyper.critic', '1'],
      ],
      stream: Array.from({ length: 10 }, (_, i) => [`${i}`, expected]),
      streamRefused: 'ModelInfer model: expected one of "hyper", got "nope"',
    });
    expect(printed.critic.q.map((row: number[]) => row[0])).toEqual([...q.values]);
    expect(printed.critic.dq_da.map((row: number[][]) => row[0])).toEqual(rowsOf(dqDa));
  });

  grpcurlTest('grpcurl lists, describes and calls, by reflection alone', async () => {
    const flags = ['-plaintext'];
    const listed = await run(grpcurl, [...flags, server.address, 'list']);
    expect(listed.out.trim().split('\n')).toEqual(
      expect.arrayContaining([
        'hyperpolicy.v1.PolicyService',
        'inference.GRPCInferenceService',
        'grpc.health.v1.Health',
      ]),
    );
    const described = await run(grpcurl, [...flags, server.address, 'describe', 'hyperpolicy.v1.PolicyService.Act']);
    expect(described.out).toContain('rpc Act ( .hyperpolicy.v1.ActRequest ) returns ( .hyperpolicy.v1.ActResponse );');
    const tensor = (shape: number[], values: number[]) => ({
      shape,
      data: Buffer.from(Float32Array.from(values).buffer).toString('base64'),
    });
    const request = { model: 'hyper', observation: tensor([3], observation[0]!), context: tensor([2], context[0]!) };
    const method = 'hyperpolicy.v1.PolicyService/Act';
    const called = await run(grpcurl, [...flags, '-d', JSON.stringify(request), server.address, method]);
    expect([called.code, called.error]).toEqual([0, '']);
    const { action } = await server.client.act({ model: 'hyper', observation: observation[0]!, context: context[0]! });
    const bytes = Buffer.from(JSON.parse(called.out).action.data, 'base64');
    expect([...new Float32Array(Uint8Array.from(bytes).buffer)]).toEqual([...action.values]);
    const refused = await run(grpcurl, [...flags, '-d', '{"model":"nope"}', server.address, method]);
    expect(refused.code).not.toBe(0);
    expect(refused.error).toContain('Code: NotFound');
  });
});

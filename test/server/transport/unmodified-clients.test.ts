/** Clients that others wrote, as they are: Triton's and KServe's in Python, Triton's perf_analyzer, grpcurl, grpc_health_probe. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AdminService } from '../../../src/gen/hyperpolicy/v1/admin_service_pb.ts';
import { PolicyService } from '../../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { testWith } from '../../requirements.ts';
import { startTestServer, type TestServer } from '../fixtures.ts';

const python = process.env.HYPERPOLICY_PYTHON ?? 'python3';
const kservePython = process.env.HYPERPOLICY_KSERVE_PYTHON ?? 'python3';
const perfAnalyzer = process.env.HYPERPOLICY_PERF_ANALYZER ?? 'perf_analyzer';
const grpcurl = process.env.HYPERPOLICY_GRPCURL ?? 'grpcurl';
const healthProbe = process.env.HYPERPOLICY_GRPC_HEALTH_PROBE ?? 'grpc_health_probe';
const runs = (command: string, ...args: string[]) => spawnSync(command, args).status === 0;

const tritonTest = testWith(
  runs(python, '-c', 'import tritonclient.grpc'),
  "Triton's client for Python",
  'pip install "tritonclient[grpc]", or name a Python that has it in HYPERPOLICY_PYTHON',
);
const kserveTest = testWith(
  runs(kservePython, '-c', 'import grpc, numpy, kserve.inference_client'),
  "KServe's SDK for Python",
  'pip install kserve==0.21.0 in an environment of its own, and name its Python in HYPERPOLICY_KSERVE_PYTHON',
);
const hasPerfAnalyzer = runs(perfAnalyzer, '--version');
const perfTest =
  hasPerfAnalyzer || process.arch === 'x64'
    ? testWith(
        hasPerfAnalyzer,
        "Triton's perf_analyzer",
        'It comes with tritonclient==2.47.0, needs libb64 and libcudart.so.12, and is named in HYPERPOLICY_PERF_ANALYZER',
      )
    : test.skip;
const hasGo = runs('go', 'version');
/** It is built by Go: where there is no Go, nobody can ask for it. */
const goTest = (isThere: boolean, name: string, path: string) =>
  isThere || hasGo
    ? testWith(isThere, name, `go install github.com/${path}, or name it in HYPERPOLICY_${name.toUpperCase()}`)
    : test.skip;
const grpcurlTest = goTest(runs(grpcurl, '-version'), 'grpcurl', 'fullstorydev/grpcurl/cmd/grpcurl@v1.9.3');
const probeTest = goTest(
  runs(healthProbe, '-version'),
  'grpc_health_probe',
  'grpc-ecosystem/grpc-health-probe@v0.4.62',
);

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
  server = await startTestServer(
    [{ model: 'hyper', policy: 'hyper', critic: 'hyper', ...sizes }],
    { adminPort: 0 },
    afterAll,
  );
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

  kserveTest('of KServe infers, raw and typed, with the numbers of Act', { timeout: 60_000 }, async () => {
    const script = fileURLToPath(new URL('../kserve_sdk.py', import.meta.url));
    const { code, out, error } = await run(
      kservePython,
      [script, server.address],
      JSON.stringify({ observation, context }),
    );
    expect([code, error]).toEqual([0, '']);
    const action = rowsOf((await server.client.act({ model: 'hyper', observation, context })).action);
    expect(JSON.parse(out)).toEqual({
      live: true,
      ready: true,
      modelReady: [true, false],
      model: ['hyper', '1'],
      raw: { action },
      typed: { action },
    });
  });

  // Shorter windows than its own, and any spread between them: what is asked is whether it gets its answers.
  perfTest.each([
    ['calls', []],
    ['a stream', ['--streaming']],
  ])('perf_analyzer measures a policy by %s', { timeout: 120_000 }, async (_, more) => {
    const plain = { observationSize: 3, actionSize: 2, hiddenSize: 8 };
    const measured = await startTestServer([{ model: 'plain', policy: 'plain', critic: 'none', ...plain }]);
    const args = [
      '-m',
      'plain',
      '-u',
      measured.address,
      '-i',
      'grpc',
      '-p',
      '200',
      '-s',
      '1000000',
      '-r',
      '3',
      ...more,
    ];
    const { code, out, error } = await run(perfAnalyzer, args);
    expect([code, error]).toEqual([0, '']);
    expect(out).toMatch(/Throughput: [1-9]/);
  });

  probeTest('grpc_health_probe finds both ports healthy', async () => {
    const ports = { [server.server.port]: PolicyService.typeName, [server.server.adminPort!]: AdminService.typeName };
    for (const [port, service] of Object.entries(ports)) {
      for (const asked of ['', service]) {
        const probed = await run(healthProbe, ['-addr', `127.0.0.1:${port}`, '-service', asked]);
        expect([probed.code, probed.out, probed.error]).toEqual([0, '', 'status: SERVING\n']);
      }
    }
  });

  grpcurlTest('grpcurl lists the services of the admin port', async () => {
    const { code, out } = await run(grpcurl, ['-plaintext', `127.0.0.1:${server.server.adminPort}`, 'list']);
    expect([code, out.trim().split('\n')]).toEqual([
      0,
      ['grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection', 'hyperpolicy.v1.AdminService'],
    ]);
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

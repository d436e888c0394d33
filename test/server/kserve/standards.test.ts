import { once } from 'node:events';
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import {
  ServerReflectionRequestSchema,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from '../../../src/gen/grpc/reflection/v1/reflection_pb.ts';
import {
  GRPCInferenceService,
  ModelInferRequestSchema,
  type ModelStreamInferResponse,
  ModelStreamInferResponseSchema,
} from '../../../src/gen/inference/grpc_predict_v2_pb.ts';
import { type RawCaller, rawCaller } from '../../compliance/raw-call.ts';
import { startTestServer, type TestServer } from '../fixtures.ts';

const sizes = { observationSize: 3, actionSize: 2, hiddenSize: 8, trunkSizes: [16] };
const fp32 = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
const floats = (bytes: Uint8Array) => [...new Float32Array(Uint8Array.from(bytes).buffer)];
const input = (name: string, shape: number[], values?: number[]) => ({
  name,
  datatype: 'FP32',
  shape: shape.map(BigInt),
  ...(values && { contents: { fp32Contents: values } }),
});

let server: TestServer;
let raw: RawCaller;
beforeAll(async () => {
  server = await startTestServer(
    [
      { model: 'plain', policy: 'plain', critic: 'plain', ...sizes },
      { model: 'hyper', policy: 'hyper', critic: 'hyper', ...sizes, contextSize: 2, stochastic: true },
    ],
    { rowCountMax: 8 },
    afterAll,
  );
  raw = rawCaller(server.address, afterAll);
});

/** Calls a method of the inference service; the status with its text where it is refused. */
async function infer<I extends DescMessage, O extends DescMessage>(
  { name, input: schema, output }: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
): Promise<MessageShape<O>> {
  const result = await raw(`/inference.GRPCInferenceService/${name}`, toBinary(schema, create(schema, request)));
  if ('bytes' in result) return fromBinary(output, result.bytes);
  throw new Error(`${result.status} ${result.text}`);
}

const { serverLive, serverReady, modelReady, serverMetadata, modelMetadata, modelInfer } = GRPCInferenceService.method;

describe('the Open Inference Protocol', () => {
  test('tells what is live and ready', async () => {
    expect((await infer(serverLive, {})).live).toBe(true);
    expect((await infer(serverReady, {})).ready).toBe(true);
    expect((await infer(serverMetadata, {})).name).toBe('hyperpolicy');
    const ready = async (name: string, version = '') => (await infer(modelReady, { name, version })).ready;
    expect([await ready('plain'), await ready('plain', '1'), await ready('plain.critic')]).toEqual([true, true, true]);
    expect([await ready('plain', '2'), await ready('nope'), await ready('nope.critic')]).toEqual([false, false, false]);
  });

  test('describes policies and critics by their tensors', async () => {
    const described = async (name: string) => {
      const { inputs, outputs, versions } = await infer(modelMetadata, { name });
      const list = (tensors: typeof inputs) => tensors.map((one) => `${one.name} ${one.datatype} ${one.shape}`);
      return { inputs: list(inputs), outputs: list(outputs), versions };
    };
    expect(await described('plain')).toEqual({
      inputs: ['observation FP32 -1,3'],
      outputs: ['action FP32 -1,2'],
      versions: ['1'],
    });
    expect(await described('hyper')).toEqual({
      inputs: ['observation FP32 -1,3', 'context FP32 -1,2', 'noise FP32 -1,2'],
      outputs: ['action FP32 -1,2', 'log_prob FP32 -1'],
      versions: ['1'],
    });
    expect(await described('hyper.critic')).toEqual({
      inputs: ['observation FP32 -1,3', 'action FP32 -1,2'],
      outputs: ['q FP32 -1,2', 'dq_da FP32 -1,2,2'],
      versions: ['1'],
    });
  });

  test('gives the actions of Act, raw and typed', async () => {
    const observation = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
    const context = [1, 2, 3, 4];
    const expected = await server.client.act({
      model: 'hyper',
      observation: { shape: [2, 3], values: Float32Array.from(observation) },
      context: { shape: [2, 2], values: Float32Array.from(context) },
    });
    const rawAnswer = await infer(modelInfer, {
      modelName: 'hyper',
      id: 'seven',
      inputs: [input('observation', [2, 3]), input('context', [2, 2])],
      rawInputContents: [fp32(...observation), fp32(...context)],
      outputs: [{ name: 'action' }],
    });
    expect(rawAnswer).toMatchObject({
      modelName: 'hyper',
      modelVersion: '1',
      id: 'seven',
      outputs: [{ name: 'action', shape: [2n, 2n] }],
    });
    expect(floats(rawAnswer.rawOutputContents[0]!)).toEqual([...expected.action.values]);
    const typed = await infer(modelInfer, {
      modelName: 'hyper',
      inputs: [input('observation', [2, 3], observation), input('context', [2, 2], context)],
    });
    expect(typed.outputs.map(({ name }) => name)).toEqual(['action', 'log_prob']);
    expect(typed.outputs[0]!.contents!.fp32Contents).toEqual([...expected.action.values]);
    expect(typed.rawOutputContents).toEqual([]);
  });

  test('takes the size of raw contents that KServe tells, where it is right', async () => {
    const request = (size: bigint, raw = true) => ({
      modelName: 'plain',
      inputs: [
        {
          ...input('observation', [1, 3], raw ? undefined : [1, 2, 3]),
          parameters: { binary_data_size: { parameterChoice: { case: 'int64Param' as const, value: size } } },
        },
      ],
      ...(raw && { rawInputContents: [fp32(1, 2, 3)] }),
    });
    expect((await infer(modelInfer, request(12n))).rawOutputContents[0]).toHaveLength(8);
    await expect(infer(modelInfer, request(8n))).rejects.toThrow(
      'INVALID_ARGUMENT ModelInfer observation parameters binary_data_size: expected 12, the bytes of its raw contents, got 8',
    );
    await expect(infer(modelInfer, request(12n, false))).rejects.toThrow(
      'expected none: tensors are sent in the message, whole, got "binary_data_size"',
    );
  });

  test('takes noise, and zero noise is the deterministic action', async () => {
    const request = (noise: number[]) => ({
      modelName: 'hyper',
      inputs: [
        input('observation', [1, 3], [1, 2, 3]),
        input('context', [1, 2], [1, 2]),
        input('noise', [1, 2], noise),
      ],
    });
    const values = async (noise: number[]) =>
      (await infer(modelInfer, request(noise))).outputs[0]!.contents!.fp32Contents;
    const { action } = await server.client.act({ model: 'hyper', observation: [1, 2, 3], context: [1, 2] });
    expect(await values([0, 0])).toEqual([...action.values]);
    expect(await values([1, -1])).not.toEqual([...action.values]);
  });

  test.each(['plain', 'hyper'])('gives both value functions of %s.critic', async (model) => {
    const observation = [0.1, 0.2, 0.3];
    const action = [0.5, -0.5];
    const { outputs } = await infer(modelInfer, {
      modelName: `${model}.critic`,
      inputs: [input('observation', [1, 3], observation), input('action', [1, 2], action)],
    });
    const [q, dqDa] = outputs.map(({ contents }) => contents!.fp32Contents);
    const first = await server.client.qGrad({ model, observation, action, reduction: 'q1' });
    const mean = await server.client.qGrad({ model, observation, action, reduction: 'mean' });
    expect(q![0]).toBe(first.q.values[0]);
    expect((q![0]! + q![1]!) / 2).toBeCloseTo(mean.q.values[0]!, 6);
    expect(dqDa!.slice(0, 2)).toEqual([...first.dqDa.values]);
  });

  test('streams: answers in order, and refuses one by one', async () => {
    const client = new grpc.Client(server.address, grpc.credentials.createInsecure());
    onTestFinished(() => client.close());
    const stream = client.makeBidiStreamRequest(
      '/inference.GRPCInferenceService/ModelStreamInfer',
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => fromBinary(ModelStreamInferResponseSchema, bytes),
    );
    const answers: ModelStreamInferResponse[] = [];
    stream.on('data', (answer: ModelStreamInferResponse) => answers.push(answer));
    for (let i = 0; i < 20; i++) {
      const shape = i === 7 ? [1, 4] : [1, 3];
      const request = create(ModelInferRequestSchema, {
        modelName: 'hyper',
        id: `${i}`,
        inputs: [
          input('observation', shape, shape[1] === 4 ? [0, 0, 0, 0] : [i, 0, 0]),
          input('context', [1, 2], [i % 3, i]),
        ],
      });
      stream.write(Buffer.from(toBinary(ModelInferRequestSchema, request)));
    }
    stream.end();
    await once(stream, 'end');
    expect(answers.map(({ inferResponse }) => inferResponse!.id)).toEqual(Array.from({ length: 20 }, (_, i) => `${i}`));
    expect(answers.map(({ errorMessage }) => errorMessage !== '')).toEqual(
      Array.from({ length: 20 }, (_, i) => i === 7),
    );
    expect(answers[7]!.errorMessage).toBe(
      'ModelInfer observation: expected 3 values per row for model "hyper", got shape [1, 4]',
    );
  });
});

describe('reflection', () => {
  async function reflect(
    service: string,
    ...requests: MessageInitShape<typeof ServerReflectionRequestSchema>['messageRequest'][]
  ): Promise<ServerReflectionResponse[]> {
    const client = new grpc.Client(server.address, grpc.credentials.createInsecure());
    onTestFinished(() => client.close());
    const stream = client.makeBidiStreamRequest(
      `/${service}/ServerReflectionInfo`,
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => fromBinary(ServerReflectionResponseSchema, bytes),
    );
    const answers: ServerReflectionResponse[] = [];
    stream.on('data', (answer: ServerReflectionResponse) => answers.push(answer));
    for (const messageRequest of requests) {
      const request = create(ServerReflectionRequestSchema, { messageRequest: messageRequest! });
      stream.write(Buffer.from(toBinary(ServerReflectionRequestSchema, request)));
    }
    stream.end();
    await once(stream, 'end');
    return answers;
  }

  test.each(['grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection'])(
    '%s lists the services and describes them with what they import',
    async (service) => {
      const [list, symbol, file] = await reflect(
        service,
        { case: 'listServices', value: '' },
        { case: 'fileContainingSymbol', value: 'hyperpolicy.v1.PolicyService.Act' },
        { case: 'fileByFilename', value: 'hyperpolicy/v1/tensor.proto' },
      );
      const services = list!.messageResponse;
      expect(services.case === 'listServicesResponse' && services.value.service.map(({ name }) => name)).toEqual([
        'hyperpolicy.v1.PolicyService',
        'inference.GRPCInferenceService',
        'grpc.health.v1.Health',
        'grpc.reflection.v1.ServerReflection',
      ]);
      const names = ({ messageResponse }: ServerReflectionResponse) =>
        messageResponse.case === 'fileDescriptorResponse' &&
        messageResponse.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name);
      expect(names(symbol!)).toEqual(['hyperpolicy/v1/policy_service.proto', 'hyperpolicy/v1/tensor.proto']);
      expect(names(file!)).toEqual(['hyperpolicy/v1/tensor.proto']);
    },
  );

  test('refuses what it does not have, and goes on', async () => {
    const answers = await reflect(
      'grpc.reflection.v1.ServerReflection',
      { case: 'fileContainingSymbol', value: 'no.such.Symbol' },
      { case: 'fileByFilename', value: '/etc/passwd' },
      { case: 'allExtensionNumbersOfType', value: 'hyperpolicy.v1.Tensor' },
    );
    expect(answers.map(({ messageResponse }) => messageResponse)).toMatchObject([
      {
        case: 'errorResponse',
        value: { errorCode: 5, errorMessage: 'expected a file or symbol of this server, got "no.such.Symbol"' },
      },
      { case: 'errorResponse', value: { errorCode: 5 } },
      { case: 'errorResponse', value: { errorCode: 5 } },
    ]);
  });
});

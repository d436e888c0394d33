/** Faults of a CUDA device, by the texts that public reports have of them: too little memory, an old driver, no code for a GPU, and what `auto` does then. */

import * as tf from '@tensorflow/tfjs-core';
import { expect, onTestFinished, test, vi } from 'vitest';
import { isPassing } from '../../server/models/refusal.ts';
import { compile } from '../../src/onnx/compile.ts';
import { isInstalled, isMissingForAll } from '../../src/onnx/providers.ts';
import { floatTensor, openSession } from '../../src/onnx/session.ts';
import { warmUp } from '../../src/onnx/warm-up.ts';
import { trace } from '../../src/trace/trace.ts';
import { filesAreMissing, loadsFail, loadsNoted, runsFail } from './faulty-devices.ts';
import { exponential } from './graphs.ts';

/** As the runtime words a failed call of a library, with its source paths before and the place of the call behind. */
const called = (fault: string, expression: string) =>
  `Exception during initialization: /onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:121 std::conditional_t<THRW, void, onnxruntime::common::Status> onnxruntime::CudaCall(ERRTYPE, const char*, const char*, ERRTYPE, const char*, const char*, int) [with ERRTYPE = cublasStatus_t; bool THRW = true] ${fault} ; GPU=0 ; hostname=host ; file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider.cc ; line=164 ; expr=${expression}; `;

const arena =
  "Non-zero status code returned while running Mul node. Name:'Mul_8702' Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:376 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Failed to allocate memory for requested buffer of size 2830172160";

/** Each behind the clause that says it. */
const lacksOfMemory = [
  ['Failed to allocate memory for requested buffer of size 2830172160', arena],
  ...[
    ['CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED', 'cublasCreate(&cublas_handle_)'],
    ['CUBLAS failure 1: CUBLAS_STATUS_NOT_INITIALIZED', 'cublasCreate(&cublas_handle_)'],
    ['CUDNN failure 4: CUDNN_STATUS_ALLOC_FAILED', 'cudnnCreate(&cudnn_handle_)'],
    ['CUDA failure 2: out of memory', 'cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking)'],
  ].map(([fault, expression]) => [fault!, called(fault!, expression!)] as const),
  ['std::bad_alloc', 'std::bad_alloc'],
] as const;

const openOn = (device: 'cuda' | 'auto' | 'cpu') => openSession(exponential(1), { threadCount: 1, device }, 'critic');

/** What `call` throws. */
function thrown(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return expect.fail('nothing was thrown');
}

test('weights on a CUDA device lie beside its arena, which grows by doubling', () => {
  const session = vi.fn();
  loadsNoted(({ executionProviders, extra }) => session(executionProviders, (extra as { session: object }).session));
  for (const device of ['cuda', 'cpu'] as const) openOn(device).dispose();
  const beside = { use_device_allocator_for_initializers: '1' };
  expect(session.mock.calls).toEqual([
    [['cuda'], expect.objectContaining(beside)],
    [['cpu'], expect.not.objectContaining(beside)],
  ]);
});

test.each(lacksOfMemory)('no memory when a graph is loaded: %s', (clause, text) => {
  loadsFail(text);
  const error = thrown(() => openOn('cuda'));
  expect(error).toMatchObject({
    kind: 'resource_exhausted',
    message: `critic: expected memory of the cuda device for one more graph, got ${clause}. Serve fewer models or smaller batches there, or choose --device cpu`,
  });
  expect(isPassing(error)).toBe(true);
});

test.each(lacksOfMemory)('no memory in a run, also the first: %s', (clause, text) => {
  runsFail(text);
  const session = openOn('cuda');
  onTestFinished(() => session.dispose());
  for (const run of [() => session.run({}), () => warmUp(session, 64, 'critic')]) {
    const error = thrown(run);
    expect(error).toMatchObject({
      kind: 'resource_exhausted',
      message: `critic: expected memory of the cuda device for a run of this graph, got ${clause}. Send smaller batches, serve fewer models or versions there, or choose --device cpu`,
      cause: { message: text },
      isFault: true,
    });
    expect(isPassing(error)).toBe(true);
  }
});

test('no memory on the cpu is told as such', () => {
  loadsFail('std::bad_alloc', 'cpu');
  expect(() => openOn('cpu')).toThrow(
    'critic: expected memory of the cpu device for one more graph, got std::bad_alloc. Serve fewer models or smaller batches, or give the process more memory',
  );
});

test('an old driver has its own remedy, and does not pass', () => {
  const fault = 'CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version';
  loadsFail(called(fault, 'cudaSetDevice(info_.device_id)'));
  const error = thrown(() => openOn('cuda'));
  expect(error).toMatchObject({
    kind: 'failed_precondition',
    message: `critic: expected the cuda device, got ${fault}. Install NVIDIA driver 580 or newer, which CUDA 13 needs: nvidia-smi shows the one that is there, if any`,
  });
  expect(isPassing(error)).toBe(false);
});

test.each(['CUDA failure 100: no CUDA-capable device is detected', 'CUDA failure 802: system not yet initialized'])(
  'a GPU that the process cannot use has its own remedy, and does not pass: %s',
  (fault) => {
    loadsFail(called(fault, 'cudaSetDevice(info_.device_id)'));
    const error = thrown(() => openOn('cuda'));
    expect(error).toMatchObject({
      kind: 'failed_precondition',
      actual: fault,
      remedy: expect.stringMatching(/^Let this process use a GPU: nvidia-smi lists those/),
    });
    expect(isPassing(error)).toBe(false);
  },
);

test.skipIf(isInstalled('cuda'))(
  'a provider that cannot be loaded, or that is not there, is missing for all graphs',
  () => {
    const absent = thrown(() => openOn('cuda'));
    filesAreMissing();
    const unloadable = thrown(() => openOn('cuda'));
    expect([absent, unloadable]).toMatchObject([
      { kind: 'failed_precondition', actual: 'no provider of that name' },
      { kind: 'failed_precondition', actual: expect.stringMatching(/: Failed to load shared library$/) },
    ]);
    for (const error of [absent, unloadable]) expect(isMissingForAll('cuda', error)).toBe(true);
  },
);

test.each([
  ['CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version', true],
  ['CUDA failure 100: no CUDA-capable device is detected', true],
  ['CUDA failure 209: no kernel image is available for execution on the device', false],
  ['CUDA failure 700: an illegal memory access was encountered', false],
  ['CUDA failure 2: out of memory', false],
  ['the node "Failed to load shared library" has no kernel', false],
])('what is missing for all graphs, and what one of them may be at fault for: %s', (fault, isForAll) => {
  loadsFail(called(fault, 'cudaSetDevice(info_.device_id)'));
  expect(
    isMissingForAll(
      'cuda',
      thrown(() => openOn('cuda')),
    ),
  ).toBe(isForAll);
});

/** As the runtime words a failed launch: public reports have it from runs, and from the first call of a library. */
const lacksOfCode = [
  [
    'CUDA failure 209: no kernel image is available for execution on the device',
    called('CUDA failure 209: no kernel image is available for execution on the device', 'cudaGetLastError()'),
  ],
  [
    'CUDA error cudaErrorNoKernelImageForDevice:no kernel image is available for execution on the device',
    "Non-zero status code returned while running Relu node. Name:'Relu_1' Status Message: CUDA error cudaErrorNoKernelImageForDevice:no kernel image is available for execution on the device",
  ],
  [
    'CUBLAS failure 8: CUBLAS_STATUS_ARCH_MISMATCH',
    called('CUBLAS failure 8: CUBLAS_STATUS_ARCH_MISMATCH', 'cublasSgemm(handle)'),
  ],
] as const;

test.each(lacksOfCode)(
  'no code for the architecture of the GPU, when a graph is loaded or runs: %s',
  (clause, text) => {
    loadsFail(text);
    const loaded = thrown(() => openOn('cuda'));
    runsFail(text);
    const session = openOn('cuda');
    onTestFinished(() => session.dispose());
    const [ran, warmed] = [thrown(() => session.run({})), thrown(() => warmUp(session, 1, 'critic'))];
    for (const error of [loaded, ran, warmed]) {
      expect(error).toMatchObject({
        // A load is refused, with a line of its own in the log.
        isFault: error !== loaded,
        kind: 'failed_precondition',
        actual: clause,
        remedy:
          'The CUDA provider that is installed has no code for the architecture of this GPU, which "nvidia-smi --query-gpu=compute_cap --format=csv" ' +
          'tells. If it is of a lean pack, make that with --architecture, or take the whole one; else choose --device cpu. CUDA 13 has none below 7.5',
      });
      expect(isPassing(error)).toBe(false);
    }
  },
);

test('another fault of a run is left as it is', () => {
  const text = called('CUDA failure 700: an illegal memory access was encountered', 'cudaGetLastError()');
  runsFail(text);
  const session = openOn('cuda');
  onTestFinished(() => session.dispose());
  expect(thrown(() => session.run({}))).toEqual(new Error(text));
});

test('auto says which device it left out, and why', () => {
  loadsFail(arena);
  const session = openOn('auto');
  expect(session.device).toBe('cpu');
  expect(session.skipped).toEqual([{ device: 'cuda', reason: expect.stringContaining('memory of the cuda device') }]);
  session.dispose();
  const named = openOn('cpu');
  expect(named.skipped).toEqual([]);
  named.dispose();
});

test('a graph that auto leaves to the cpu is made for the cpu', () => {
  const size = { rows: 2048, width: 512 };
  const values = Float32Array.from({ length: size.rows * size.width }, (_, i) => Math.sin(i));
  const graph = trace('products', { x: { shape: [size.rows, size.width] } }, ({ x }) => ({
    y: tf.matMul(x as tf.Tensor2D, x as tf.Tensor2D, true),
  }));
  const outputs = (['cpu', 'auto'] as const).map((device) => {
    if (device === 'auto') loadsFail(arena);
    const session = compile(graph, { threadCount: 1, device });
    onTestFinished(() => session.dispose());
    expect(session.skipped).toHaveLength(device === 'auto' ? 1 : 0);
    return session.run({ x: floatTensor(values, [size.rows, size.width]) }).y!.data;
  });
  // The sum over the rows is cut there, which rounds otherwise.
  const [cpu, auto] = outputs as [Float32Array, Float32Array];
  expect(auto.filter((value, i) => value !== cpu[i])).toHaveLength(0);
});

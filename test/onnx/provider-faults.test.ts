/** Faults of a CUDA device, by the texts that public reports have of them: too little memory, an old driver, no code for a GPU, and what `auto` does then. */

import { expect, onTestFinished, test, vi } from 'vitest';
import { isPassing } from '../../server/models/refusal.ts';
import { type NativeSession, nativeBinding } from '../../src/onnx/native.ts';
import { openSession } from '../../src/onnx/session.ts';
import { warmUp } from '../../src/onnx/warm-up.ts';
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

/** The provider is there, and the next graph that is loaded meets this fault. */
const nextLoadFails = (text: string) =>
  withCuda(
    (real) =>
      class extends real {
        override loadModel(): never {
          throw new Error(text);
        }
      },
  );

/** The provider is there, and each run of the next graph that is loaded meets this fault. */
const nextRunsFail = (text: string) =>
  withCuda(
    (real) =>
      class extends real {
        /** The cpu stands for every device. */
        override loadModel(...[buffer, offset, length, options]: Parameters<NativeSession['loadModel']>) {
          super.loadModel(buffer, offset, length, { ...options, executionProviders: ['cpu'] });
        }
        override run(): never {
          throw new Error(text);
        }
      },
  );

/** The provider is there, and the next graph that is loaded is of this class. */
function withCuda(next: (real: NativeClass) => NativeClass): void {
  const binding = nativeBinding();
  const backends = vi.spyOn(binding, 'listSupportedBackends').mockReturnValue([
    { name: 'cpu', bundled: true },
    { name: 'cuda', bundled: true },
  ]);
  const real = binding.InferenceSession;
  const putBack = () => Object.assign(binding, { InferenceSession: real });
  const Faulty = next(real);
  class Once extends Faulty {
    override loadModel(...asked: Parameters<NativeSession['loadModel']>): void {
      putBack();
      super.loadModel(...asked);
    }
  }
  Object.assign(binding, { InferenceSession: Once });
  onTestFinished(() => {
    backends.mockRestore();
    putBack();
  });
}

type NativeClass = ReturnType<typeof nativeBinding>['InferenceSession'];

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

test.each(lacksOfMemory)('no memory when a graph is loaded: %s', (clause, text) => {
  nextLoadFails(text);
  const error = thrown(() => openOn('cuda'));
  expect(error).toMatchObject({
    kind: 'resource_exhausted',
    message: `critic: expected memory of the cuda device for one more graph, got ${clause}. Serve fewer models or smaller batches there, or choose --device cpu`,
  });
  expect(isPassing(error)).toBe(true);
});

test.each(lacksOfMemory)('no memory in a run, also the first: %s', (clause, text) => {
  nextRunsFail(text);
  const session = openOn('cuda');
  onTestFinished(() => session.dispose());
  for (const run of [() => session.run({}), () => warmUp(session, 64, 'critic')]) {
    const error = thrown(run);
    expect(error).toMatchObject({
      kind: 'resource_exhausted',
      message: `critic: expected memory of the cuda device for a run of this graph, got ${clause}. Send smaller batches, serve fewer models or versions there, or choose --device cpu`,
      cause: { message: text },
    });
    expect(isPassing(error)).toBe(true);
  }
});

test('no memory on the cpu is told as such', () => {
  nextLoadFails('std::bad_alloc');
  expect(() => openOn('cpu')).toThrow(
    'critic: expected memory of the cpu device for one more graph, got std::bad_alloc. Serve fewer models or smaller batches, or give the process more memory',
  );
});

test('an old driver has its own remedy, and does not pass', () => {
  const fault = 'CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version';
  nextLoadFails(called(fault, 'cudaSetDevice(info_.device_id)'));
  const error = thrown(() => openOn('cuda'));
  expect(error).toMatchObject({
    kind: 'failed_precondition',
    message: `critic: expected the cuda device, got ${fault}. Install NVIDIA driver 580 or newer, which CUDA 13 needs: nvidia-smi shows the one that is there, if any`,
  });
  expect(isPassing(error)).toBe(false);
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
    nextLoadFails(text);
    const loaded = thrown(() => openOn('cuda'));
    nextRunsFail(text);
    const session = openOn('cuda');
    onTestFinished(() => session.dispose());
    for (const error of [loaded, thrown(() => session.run({})), thrown(() => warmUp(session, 1, 'critic'))]) {
      expect(error).toMatchObject({
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
  nextRunsFail(text);
  const session = openOn('cuda');
  onTestFinished(() => session.dispose());
  expect(thrown(() => session.run({}))).toEqual(new Error(text));
});

test('auto says which device it left out, and why', () => {
  nextLoadFails(arena);
  const session = openOn('auto');
  expect(session.device).toBe('cpu');
  expect(session.skipped).toEqual([{ device: 'cuda', reason: expect.stringContaining('memory of the cuda device') }]);
  session.dispose();
  const named = openOn('cpu');
  expect(named.skipped).toEqual([]);
  named.dispose();
});

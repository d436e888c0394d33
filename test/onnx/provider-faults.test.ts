/** Faults of a CUDA device, by the texts that public reports have of them: too little memory, an old driver, and what `auto` does then. */

import { expect, onTestFinished, test, vi } from 'vitest';
import { isPassing } from '../../server/models/refusal.ts';
import { nativeBinding } from '../../src/onnx/native.ts';
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
function nextLoadFails(text: string): void {
  const binding = nativeBinding();
  const backends = vi.spyOn(binding, 'listSupportedBackends').mockReturnValue([
    { name: 'cpu', bundled: true },
    { name: 'cuda', bundled: true },
  ]);
  const real = binding.InferenceSession;
  class Failing extends (real as new () => object) {
    loadModel(): never {
      Object.assign(binding, { InferenceSession: real });
      throw new Error(text);
    }
  }
  Object.assign(binding, { InferenceSession: Failing });
  onTestFinished(() => {
    backends.mockRestore();
    Object.assign(binding, { InferenceSession: real });
  });
}

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

test.each(lacksOfMemory)('no memory in a first run: %s', (clause, text) => {
  const run = () => {
    throw new Error(text);
  };
  const error = thrown(() => warmUp({ device: 'cuda', inputs: [], run }, 64, 'critic'));
  expect(error).toMatchObject({ kind: 'resource_exhausted', actual: clause });
  expect(isPassing(error)).toBe(true);
  // As it comes from a later run, of a probe.
  expect(isPassing(new Error(text))).toBe(true);
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

test('another fault of the device is not one of memory', () => {
  nextLoadFails(
    called('CUDA failure 209: no kernel image is available for execution on the device', 'cudaGetLastError()'),
  );
  expect(thrown(() => openOn('cuda'))).toMatchObject({
    kind: 'failed_precondition',
    actual: 'CUDA failure 209: no kernel image is available for execution on the device',
  });
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

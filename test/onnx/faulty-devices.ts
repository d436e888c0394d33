/** The runtime's binding with a provider of CUDA whose faults are given: there is none in a test's machine. Until the test ends. */

import { onTestFinished, vi } from 'vitest';
import { type NativeSession, nativeBinding } from '../../src/onnx/native.ts';
import type { Device } from '../../src/onnx/providers.ts';

/** The provider is there, and graphs that are loaded on the device meet this fault. */
export const loadsFail = (text: string, device: Device = 'cuda') =>
  withCuda(
    (real) =>
      class extends real {
        override loadModel(...asked: LoadArguments): void {
          if (isOn(device, asked)) throw new Error(text);
          super.loadModel(...asked);
        }
      },
  );

/** The provider is there, graphs load on it, which the CPU does in its place, and each run there meets this fault. */
export const runsFail = (text: string) =>
  withCuda(
    (real) =>
      class extends real {
        #isOnCuda = false;
        override loadModel(...asked: LoadArguments): void {
          this.#isOnCuda = isOn('cuda', asked);
          const [buffer, offset, length, options] = asked;
          super.loadModel(buffer, offset, length, { ...options, executionProviders: ['cpu'] });
        }
        override run(...asked: Parameters<NativeSession['run']>): ReturnType<NativeSession['run']> {
          if (this.#isOnCuda) throw new Error(text);
          return super.run(...asked);
        }
      },
  );

/** The provider is there, graphs load on it, which the CPU does in its place, and how each is opened is noted. */
export const loadsNoted = (note: (options: Readonly<Record<string, unknown>>) => void) =>
  withCuda(
    (real) =>
      class extends real {
        override loadModel(...[buffer, offset, length, options]: LoadArguments): void {
          note(options as Readonly<Record<string, unknown>>);
          super.loadModel(buffer, offset, length, { ...options, executionProviders: ['cpu'] });
        }
      },
  );

/** The provider is listed, and there are no files of it. */
export const filesAreMissing = () => withCuda((real) => real);

type NativeClass = ReturnType<typeof nativeBinding>['InferenceSession'];
type LoadArguments = Parameters<NativeSession['loadModel']>;

const isOn = (device: Device, [, , , options]: LoadArguments): boolean =>
  (options as { readonly executionProviders: readonly string[] }).executionProviders[0] === device;

function withCuda(change: (real: NativeClass) => NativeClass): void {
  const binding = nativeBinding();
  const backends = vi.spyOn(binding, 'listSupportedBackends').mockReturnValue([
    { name: 'cpu', bundled: true },
    { name: 'cuda', bundled: true },
  ]);
  const real = binding.InferenceSession;
  Object.assign(binding, { InferenceSession: change(real) });
  onTestFinished(() => {
    backends.mockRestore();
    Object.assign(binding, { InferenceSession: real });
  });
}

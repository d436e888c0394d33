/** Where a graph runs: one `device` option in front of ONNX Runtime's execution providers, with errors that say what is missing. */

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { failedPrecondition, HyperpolicyError, resourceExhausted } from '../contract/errors.ts';
import { ownFile } from '../files/own-files.ts';
import { nativeBinding } from './native.ts';
import { lacksArchitecture, lacksDriver, lacksGpu, lacksProvider } from './provider-faults.ts';

/** What a session can be asked for; `auto` is `cuda` where its provider loads, else `cpu`. */
export const deviceNames = ['auto', 'cpu', 'webgpu', 'cuda'] as const;
export type DeviceName = (typeof deviceNames)[number];

/** What a session runs on. */
export type Device = Exclude<DeviceName, 'auto'>;

/** What to do where a device is missing. */
const remedies: Record<Device, () => string> = {
  cpu: () => 'Install the pinned onnxruntime-node with npm ci',
  webgpu: () =>
    'It needs the Vulkan loader (libvulkan.so.1) and a driver; without a GPU, name a software driver in VK_ICD_FILENAMES',
  cuda: () => `Fetch the provider with ${ownFile('deploy/cuda/install.sh')}, and set LD_LIBRARY_PATH as it prints`,
};
const driverRemedy =
  'Install NVIDIA driver 580 or newer, which CUDA 13 needs: nvidia-smi shows the one that is there, if any';
const gpuRemedy =
  'Let this process use a GPU: nvidia-smi lists those of the machine, CUDA_VISIBLE_DEVICES may hide them, a container must be given them, and some need ' +
  "NVIDIA's fabric manager to run";
const architectureRemedy =
  'The CUDA provider that is installed has no code for the architecture of this GPU, which "nvidia-smi --query-gpu=compute_cap --format=csv" ' +
  'tells. If it is of a lean pack, make that with --architecture, or take the whole one; else choose --device cpu. CUDA 13 has none below 7.5';

/**
 * The devices to try, in order; the first that loads is taken. `webgpu` is taken by name only: a software Vulkan driver, far
 * slower than the CPU provider, cannot be told from a GPU.
 */
export function candidates(device: DeviceName): readonly Device[] {
  if (device !== 'auto') return [device];
  return isInstalled('cuda') ? ['cuda', 'cpu'] : ['cpu'];
}

/**
 * Whether the files of a device's provider are there; its driver may still be missing, which loading a graph tells.
 */
export function isInstalled(device: Device): boolean {
  const backend = nativeBinding()
    .listSupportedBackends()
    .find(({ name }) => name === device);
  return backend !== undefined && (backend.bundled || existsSync(join(libraryFolder(), providerFile(device))));
}

/** The error where a device was asked for and is not there. */
export const missingDevice = (where: string, device: Device, actual: string, cause?: unknown): HyperpolicyError =>
  failedPrecondition(missing(where, device, actual, cause));

/** The same where a graph that was opened on the device does not run there. */
export const missingInRun = (where: string, device: Device, actual: string, cause: unknown): HyperpolicyError =>
  failedPrecondition({ ...missing(where, device, actual, cause), isFault: true });

const expectedDevice = (device: Device): string => `the ${device} device`;

const missing = (where: string, device: Device, actual: string, cause: unknown) => ({
  where,
  expected: expectedDevice(device),
  actual,
  remedy: remedyFor(device, actual),
  cause,
});

/** Whether the error is that of `missingDevice` for a reason that holds for all graphs, until the process starts again: its provider, its driver or its GPU. */
export const isMissingForAll = (device: Device, error: unknown): error is HyperpolicyError =>
  error instanceof HyperpolicyError &&
  error.kind === 'failed_precondition' &&
  error.expected === expectedDevice(device) &&
  [lacksProvider, lacksDriver, lacksGpu].some((lacks) => lacks(error.actual));

function remedyFor(device: Device, actual: string): string {
  if (lacksArchitecture(actual)) return architectureRemedy;
  if (lacksGpu(actual)) return gpuRemedy;
  return lacksDriver(actual) ? driverRemedy : remedies[device]();
}

/** What memory did not suffice for. */
type MemoryUse = 'one more graph' | 'a run of this graph';

/** The error where a device is there and its memory does not suffice. */
export const fullDevice = (
  where: string,
  { device, use, actual, cause }: { device: Device; use: MemoryUse; actual: string; cause?: unknown },
): HyperpolicyError =>
  resourceExhausted({
    where,
    expected: `memory of the ${device} device for ${use}`,
    actual,
    remedy: lessOf(device, use),
    isFault: use === 'a run of this graph',
    cause,
  });

function lessOf(device: Device, use: MemoryUse): string {
  const [there, elsewhere] =
    device === 'cpu' ? ['', 'give the process more memory'] : [' there', 'choose --device cpu'];
  const less =
    use === 'one more graph'
      ? 'Serve fewer models or smaller batches'
      : 'Send smaller batches, serve fewer models or versions';
  return `${less}${there}, or ${elsewhere}`;
}

/** The folder of onnxruntime-node's libraries, where fetched providers belong. */
export function libraryFolder(): string {
  const require = createRequire(import.meta.url);
  const root = dirname(require.resolve('onnxruntime-node/package.json'));
  return join(root, 'bin', 'napi-v6', process.platform, process.arch);
}

const providerFile = (device: Device): string =>
  process.platform === 'win32' ? `onnxruntime_providers_${device}.dll` : `libonnxruntime_providers_${device}.so`;

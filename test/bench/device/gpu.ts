/** Which GPU and driver a machine has, from NVIDIA's tool or kernel module. */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** What the device check says of the GPU; empty where there is no NVIDIA driver. */
export function gpu(): Readonly<Record<string, string>> {
  const told = querySmi('name,driver_version,memory.total,compute_cap');
  if (told !== undefined) {
    const [name, driver, mib, architecture] = told.split(', ');
    return { gpu: name!, driver: driver!, gpuMiB: mib!, architecture: architecture! };
  }
  try {
    return { driver: readFileSync('/proc/driver/nvidia/version', 'utf8').split('\n')[0]! };
  } catch {
    return {};
  }
}

/** MiB of the first GPU in use, by whomever; null where nobody tells. */
export function gpuMiB(): number | null {
  const told = querySmi('memory.used');
  return told === undefined ? null : Number(told);
}

/** @returns fields of the first GPU; undefined where the tool does not run */
function querySmi(fields: string): string | undefined {
  try {
    return execFileSync('nvidia-smi', [`--query-gpu=${fields}`, '--format=csv,noheader,nounits'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 20_000,
    }).split('\n')[0]!;
  } catch {
    return undefined;
  }
}

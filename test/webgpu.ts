/** Tests on the webgpu device, with whatever Vulkan driver there is: SwiftShader, which chromium ships, will do. */

import { existsSync } from 'node:fs';
import { openSession } from '../src/onnx/session.ts';
import { exponential } from './onnx/graphs.ts';
import { testWith } from './requirements.ts';

/** Where chromium's software driver lies: Debian's package, or a folder named in CHROMIUM_LIBRARIES. */
const folder = process.env.CHROMIUM_LIBRARIES ?? '/usr/lib/chromium';
const driver = `${folder}/vk_swiftshader_icd.json`;
const hasDriver = process.env.VK_ICD_FILENAMES !== undefined || existsSync(driver);
if (hasDriver) process.env.VK_ICD_FILENAMES ??= driver;

/** Whether a graph opens: the Vulkan loader may be missing where the driver is there. */
function opens(): boolean {
  try {
    openSession(exponential(1), { threadCount: 1, device: 'webgpu' }).dispose();
    return true;
  } catch {
    return false;
  }
}

export const withWebgpu = testWith(
  hasDriver && opens(),
  'a Vulkan loader and driver',
  'Install libvulkan1 and chromium (Debian), or name a driver in VK_ICD_FILENAMES',
);

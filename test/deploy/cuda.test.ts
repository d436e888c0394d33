/**
 * What brings CUDA and what checks it, as far as that goes without a GPU and without 3 GB of downloads: the installer with wheels of our
 * own in place of NVIDIA's, the check on the CPU.
 */

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { isInstalled } from '../../src/onnx/providers.ts';
import { withWebgpu } from '../webgpu.ts';

const isLinux = process.platform === 'linux' && process.arch === 'x64';
const libraries = join(
  dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json')),
  'bin/napi-v6/linux/x64',
);

/** Answers `pip download` with the wheels of a folder; everything else is the real one's. */
const pythonScript = (real: string, wheels: string) => `#!/bin/bash
if [ "$2" = pip ]; then
  while [ $# -gt 0 ]; do [ "$1" = --dest ] && dest=$2; shift; done
  for wheel in "${wheels}"/*/; do (cd "$wheel" && "${real}" -m zipfile -c "$dest/$(basename "$wheel").whl" ./*); done
  exit 0
fi
exec "${real}" "$@"
`;

/** Runs the check of this project. @param args options, and at the end variables of the environment if there are some */
function check(...args: (string | Readonly<Record<string, string>>)[]) {
  const options = args.filter((arg) => typeof arg === 'string');
  const env = Object.assign({ ...process.env }, ...args.filter((arg) => typeof arg === 'object'));
  return spawnSync('deploy/cuda/check.sh', options, { encoding: 'utf8', env });
}

/** A project with the installer, and wheels whose provider is a library that needs `needed`. */
function project(needed: string) {
  const root = mkdtempSync(join(tmpdir(), 'hyperpolicy-cuda-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const target = join(root, 'node_modules/onnxruntime-node/bin/napi-v6/linux/x64');
  const provider = join(root, 'wheels/onnxruntime_gpu/onnxruntime/capi');
  const nvidia = join(root, 'wheels/nvidia_cublas/nvidia/cu13/lib');
  for (const folder of [target, provider, nvidia, join(root, 'bin'), join(root, 'deploy/cuda')]) {
    mkdirSync(folder, { recursive: true });
  }
  for (const script of ['install.sh', 'check.sh', 'start.sh', 'shrink-provider.py']) {
    cpSync(`deploy/cuda/${script}`, join(root, 'deploy/cuda', script));
  }
  writeFileSync(join(root, 'node_modules/onnxruntime-node/package.json'), '{"version":"1.30.0"}');
  cpSync(join(libraries, 'libonnxruntime.so.1'), join(target, 'libonnxruntime.so.1'));
  // The binding is a library that needs another by name; here it needs the one that is given.
  const name = 'libonnxruntime.so.1';
  const bytes = readFileSync(join(libraries, 'onnxruntime_binding.node'));
  bytes.write(needed.padEnd(name.length, '\0'), bytes.indexOf(`${name}\0`), 'latin1');
  writeFileSync(join(provider, 'libonnxruntime_providers_cuda.so'), bytes);
  writeFileSync(join(provider, 'libonnxruntime_providers_shared.so'), '');
  writeFileSync(join(nvidia, 'libcublas.so.13'), '');
  const real = spawnSync('sh', ['-c', 'command -v python3'], { encoding: 'utf8' }).stdout.trim();
  writeFileSync(join(root, 'bin/python3'), pythonScript(real, join(root, 'wheels')));
  // Nothing is to be pruned.
  writeFileSync(join(root, 'bin/npm'), '#!/bin/sh\n');
  // Small where it is packed.
  writeFileSync(join(root, 'bin/node'), `#!/bin/sh\nexec '${process.execPath}' "$@"\n`);
  for (const command of ['python3', 'npm', 'node']) chmodSync(join(root, 'bin', command), 0o755);
  const env = { ...process.env, PATH: `${join(root, 'bin')}:${process.env.PATH}`, LD_LIBRARY_PATH: '' };
  const bash = (script: string, args: readonly string[], cwd = root) =>
    spawnSync('bash', [join(root, 'deploy/cuda', script), ...args], { encoding: 'utf8', env, cwd });
  return { root, target, bash, install: (...args: string[]) => bash('install.sh', args) };
}

test.skipIf(!isLinux)('the installer brings the provider and its libraries, and says what it resolves to', () => {
  const { root, target, install } = project('libonnxruntime.so.1');
  const folder = join(root, 'cuda libraries');
  const { status, stdout, stderr } = install(folder);
  expect(status, stderr).toBe(0);
  for (const name of ['cuda', 'shared'])
    expect(existsSync(join(target, `libonnxruntime_providers_${name}.so`))).toBe(true);
  expect(existsSync(join(folder, 'libcublas.so.13'))).toBe(true);
  // The folder has a space in its name.
  const shown = spawnSync('bash', ['-c', `LD_LIBRARY_PATH=/other\n${stdout}echo "$LD_LIBRARY_PATH"`], {
    encoding: 'utf8',
  });
  expect([shown.stdout, shown.stderr]).toEqual([`${folder}:/other\n`, '']);
  expect(stderr).toMatch(/libonnxruntime\.so\.1 => .*libonnxruntime\.so\.1$/m);
});

test.skipIf(!isLinux)('the driver may be missing where it installs, any other library not', () => {
  const driver = project('libcuda.so.1').install();
  expect(driver.status, driver.stderr).toBe(0);
  expect(driver.stderr).toContain('libcuda.so.1 => not found');
  const other = project('libcufft.so.12').install();
  expect(other.status).toBe(1);
  expect(other.stdout).toBe('');
  expect(other.stderr).toContain('install.sh: expected every library of the CUDA provider, got none for:\n');
  expect(other.stderr.trimEnd()).toMatch(/libcufft\.so\.12 => not found$/);
});

test.skipIf(!isLinux)('the installer warns of a driver that is too old for CUDA 13, and of no other', () => {
  const { root, install } = project('libcuda.so.1');
  const tool = join(root, 'bin/nvidia-smi');
  const warningWith = (said: string): string | undefined => {
    writeFileSync(tool, `#!/bin/sh\n[ "$1 $2" = "--query-gpu=driver_version --format=csv,noheader" ] && ${said}\n`);
    chmodSync(tool, 0o755);
    const { status, stderr } = install();
    expect(status, stderr).toBe(0);
    return /^install\.sh: warning: .*$/m.exec(stderr)?.[0];
  };
  expect(warningWith("printf '570.124.06\\n570.124.06\\n'")).toBe(
    'install.sh: warning: expected NVIDIA driver 580 or newer, which CUDA 13 needs, got 570.124.06: --device cuda will not load here',
  );
  expect(warningWith('echo 580.65.06')).toBeUndefined();
});

test.skipIf(!isLinux)('the installer can leave out the libraries, which are elsewhere', () => {
  const { root, target, install } = project('libcufft.so.12');
  const { status, stdout, stderr } = install('--provider-only');
  expect([status, stdout], stderr).toEqual([0, '']);
  expect(existsSync(join(target, 'libonnxruntime_providers_cuda.so'))).toBe(true);
  expect(existsSync(join(root, 'node_modules/.cuda'))).toBe(false);
});

test.skipIf(!isLinux)('the installer asks for npm ci where the runtime is not there', () => {
  const { target, install } = project('libcuda.so.1');
  rmSync(join(target, 'libonnxruntime.so.1'));
  const { status, stderr } = install();
  expect(status).toBe(1);
  expect(stderr).toMatch(
    /^install\.sh: expected .*libonnxruntime\.so\.1, got no file\. Run npm ci first, on Linux x64\n$/,
  );
});

/** A project whose check prints what `program` does. */
function checkedProject(program: string) {
  const made = project('libcuda.so.1');
  const { root } = made;
  for (const folder of ['dist/test/bench/device', 'proto', 'clients/cli', 'elsewhere']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  for (const file of ['package.json', 'package-lock.json']) writeFileSync(join(root, file), '{}');
  writeFileSync(join(root, 'dist/test/bench/device/main.js'), program);
  return made;
}

test.skipIf(!isLinux)('a check that is packed into a relative folder has CUDA where it looks for it', () => {
  const { root, bash } = checkedProject('console.log(process.env.LD_LIBRARY_PATH)');
  const elsewhere = join(root, 'elsewhere');
  const { status, stderr } = bash('check.sh', ['--pack', 'packed'], elsewhere);
  expect(status, stderr).toBe(0);
  const packed = join(elsewhere, 'packed');
  expect(existsSync(join(packed, '.cuda/libcublas.so.13')), stderr).toBe(true);
  const run = spawnSync('bash', [join(packed, 'deploy/cuda/check.sh')], {
    encoding: 'utf8',
    env: { ...process.env, LD_LIBRARY_PATH: '' },
  });
  expect(run.stdout).toBe(`${packed}/.cuda\n`);
});

const hasCudnn = /libcudnn/.test(spawnSync('ldconfig', ['-p'], { encoding: 'utf8' }).stdout ?? '');
test.skipIf(!isLinux || hasCudnn)('a library that the provider loads by name is missing like one that it links', () => {
  const { root, install, bash } = checkedProject('console.log(process.env.CHECK_MISSING, process.env.CHECK_LIBRARIES)');
  expect(install().status).toBe(0);
  const without = bash('check.sh', []);
  // A machine with NVIDIA's driver has libcuda.so.1.
  expect(without.stderr).toMatch(/ no (libcuda\.so\.1 )?libcudnn\.so\.9: --device cuda will fail, or refuse graphs\n$/);
  expect(without.stdout).toMatch(/libcudnn\.so\.9 \n$/);
  const cudnn = join(root, 'node_modules/.cuda/libcudnn.so.9');
  writeFileSync(cudnn, '');
  const found = bash('check.sh', []).stdout;
  expect(found).toMatch(/^(libcuda\.so\.1|undefined) /);
  expect(found).toContain(` ${cudnn}\n`);
});

test.skipIf(!isLinux)('a pack has the modules behind a link, and the libraries that were brought before', () => {
  const { root, target, install, bash } = checkedProject('');
  expect(install().status).toBe(0);
  writeFileSync(join(root, 'node_modules/.cuda/brought'), '');
  renameSync(join(root, 'node_modules'), join(root, 'elsewhere/modules'));
  symlinkSync('elsewhere/modules', join(root, 'node_modules'));
  // Whoever would download fails.
  writeFileSync(join(root, 'bin/python3'), '#!/bin/sh\nexit 1\n');
  const { status, stderr } = bash('check.sh', ['--pack', 'packed']);
  expect(status, stderr).toBe(0);
  const packed = join(root, 'packed');
  expect(lstatSync(join(packed, 'node_modules')).isDirectory()).toBe(true);
  expect(readdirSync(join(packed, 'node_modules'))).toEqual(['onnxruntime-node']);
  expect(existsSync(join(packed, target.slice(root.length), 'libonnxruntime_providers_cuda.so'))).toBe(true);
  expect(readdirSync(join(packed, '.cuda')).sort()).toEqual(['brought', 'libcublas.so.13']);
});

test.skipIf(!isLinux)(
  'a lean pack is parts that unpack where there is no Node, beside the libraries of PyTorch',
  () => {
    const { root, target, bash } = checkedProject(
      'console.log(process.env.PATH, process.env.LD_LIBRARY_PATH, ...process.argv.slice(2))',
    );
    // Small where it is packed.
    writeFileSync(join(target, 'libonnxruntime.so.1'), '');
    const { status, stderr } = bash('check.sh', ['--pack', 'lean', '--lean', '--without-cuda']);
    expect(status, stderr).toBe(0);
    const lean = join(root, 'lean');
    expect(readdirSync(lean)).toEqual(['part-00', 'parts.sha256', 'start.sh']);
    const bin = join(root, 'other-machine');
    mkdirSync(join(root, 'site/nvidia/cublas/lib'), { recursive: true });
    mkdirSync(bin);
    const real = (command: string) =>
      spawnSync('sh', ['-c', `command -v ${command}`], { encoding: 'utf8' }).stdout.trim();
    const commands = ['bash', 'sh', 'cat', 'cp', 'tar', 'mkdir', 'mv', 'rm', 'dirname', 'sha256sum', 'ldconfig'];
    for (const command of commands.filter((command) => real(command) !== '')) {
      symlinkSync(real(command), join(bin, command));
    }
    // Without xz, too: Python unpacks. It may be behind a script that picks a version.
    const { stdout: python } = spawnSync('python3', ['-c', 'import sys; print(sys.executable, end="")'], {
      encoding: 'utf8',
    });
    writeFileSync(join(bin, 'python3'), `#!/bin/sh\nPYTHONPATH='${join(root, 'site')}' exec '${python}' "$@"\n`);
    chmodSync(join(bin, 'python3'), 0o755);
    const start = () =>
      spawnSync(join(lean, 'start.sh'), ['--json', 'lines'], { encoding: 'utf8', cwd: root, env: { PATH: bin } });
    const tree = join(lean, 'unpacked/hyperpolicy');
    const expected = `${tree}/.node:${bin} ${join(root, 'site')}/nvidia/cublas/lib --json lines\n`;
    // The second time it is unpacked already.
    for (const _time of ['first', 'second']) expect(start()).toMatchObject({ stderr: '', stdout: expected, status: 0 });
    rmSync(join(lean, 'unpacked'), { recursive: true });
    writeFileSync(join(lean, 'part-00'), 'cut');
    expect(start()).toMatchObject({ status: 1, stderr: expect.stringContaining('start.sh: expected all parts') });
  },
);

test.skipIf(!isLinux)(
  'a newer pack is copied over an older one: it is what runs, without parts that the older left',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'hyperpolicy-packs-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    cpSync('deploy/cuda/start.sh', join(folder, 'start.sh'));
    const copyPack = (name: string, partCount: number) => {
      const scratch = join(folder, name);
      const script = join(scratch, 'hyperpolicy/deploy/cuda/check.sh');
      mkdirSync(dirname(script), { recursive: true });
      writeFileSync(script, `#!/bin/sh\necho ${name}\n`, { mode: 0o755 });
      const commands = `tar -c hyperpolicy | xz >all && split -n ${partCount} -d all part- && sha256sum part-* >parts.sha256 && cp part* ..`;
      const { status, stderr } = spawnSync('sh', ['-c', commands], { cwd: scratch, encoding: 'utf8' });
      expect(status, stderr).toBe(0);
    };
    const start = () => spawnSync(join(folder, 'start.sh'), { encoding: 'utf8' });
    copyPack('older', 3);
    expect(start()).toMatchObject({ stderr: '', stdout: 'older\n', status: 0 });
    copyPack('newer', 2);
    expect(existsSync(join(folder, 'part-02'))).toBe(true);
    expect(start()).toMatchObject({ stderr: '', stdout: 'newer\n', status: 0 });
    // Unpacked already: no part is read.
    rmSync(join(folder, 'part-00'));
    expect(start()).toMatchObject({ stderr: '', stdout: 'newer\n', status: 0 });
  },
);

test('what a pack does not know is refused', () => {
  expect(check('--pack', '/tmp/none', '--leaner')).toMatchObject({
    status: 2,
    stderr: 'check.sh: expected --without-cuda, --lean or --architecture, got --leaner\n',
  });
  expect(check('--pack', '/tmp/none', '--lean', '--architecture', 'sm_90')).toMatchObject({
    status: 2,
    stderr: 'check.sh: --architecture: expected a number such as 90, got sm_90\n',
  });
});

/** A container of device code: each entry a binary of an architecture, with bytes of its number. */
function container(architectures: readonly number[]): Buffer {
  const entries = architectures.map((architecture) => {
    const entry = Buffer.alloc(64 + 16, architecture);
    entry.fill(0, 0, 64);
    entry.writeUInt16LE(2, 0);
    entry.writeUInt32LE(64, 4);
    entry.writeBigUInt64LE(16n, 8);
    entry.writeUInt32LE(architecture, 28);
    return entry;
  });
  const header = Buffer.alloc(16);
  header.writeUInt32LE(0xba55ed50, 0);
  header.writeUInt16LE(1, 4);
  header.writeUInt16LE(16, 6);
  header.writeBigUInt64LE(BigInt(80 * entries.length), 8);
  return Buffer.concat([header, ...entries]);
}

/** An ELF file with two sections: the names of sections, and `.nv_fatbin`. */
function cudaLibrary(code: Buffer): Buffer {
  const names = Buffer.from('\0.nv_fatbin\0');
  const header = Buffer.alloc(64);
  header.write('\x7fELF\x02\x01', 'latin1');
  header.writeBigUInt64LE(BigInt(64 + names.length + code.length), 0x28);
  header.writeUInt16LE(64, 0x3a);
  header.writeUInt16LE(2, 0x3c);
  const section = (name: number, offset: number, size: number) => {
    const bytes = Buffer.alloc(64);
    bytes.writeUInt32LE(name, 0);
    bytes.writeBigUInt64LE(BigInt(offset), 24);
    bytes.writeBigUInt64LE(BigInt(size), 32);
    return bytes;
  };
  const sections = [section(0, 64, names.length), section(1, 64 + names.length, code.length)];
  return Buffer.concat([header, names, code, ...sections]);
}

test('code of other architectures is zeroed where that of the wanted one is there, and only there', () => {
  const folder = mkdtempSync(join(tmpdir(), 'hyperpolicy-shrink-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'library.so');
  const shrink = (architecture: string) =>
    spawnSync('python3', ['deploy/cuda/shrink-provider.py', file, architecture], { encoding: 'utf8' });
  const [both, other] = [container([80, 90]), container([80, 120])];
  writeFileSync(file, cudaLibrary(Buffer.concat([both, Buffer.alloc(8), other])));
  const none = shrink('100');
  expect([none.status, none.stderr]).toEqual([1, `${file}: expected code for architecture 100, got none\n`]);
  const { status, stderr } = shrink('90');
  expect(status, stderr).toBe(0);
  expect(stderr).toContain('1 of 2 containers stay as they are');
  // Behind its header of 16 bytes a container has entries of 64 and 16 bytes.
  both.fill(0, 16 + 64, 16 + 80);
  expect(readFileSync(file)).toEqual(cudaLibrary(Buffer.concat([both, Buffer.alloc(8), other])));
  writeFileSync(file, 'text');
  expect(shrink('90').stderr).toContain('expected an ELF library of 64 bits, little endian, got another file');
});

test('the check holds on the cpu, every section', { timeout: 600_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'hyperpolicy-check-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const json = join(folder, 'lines.json');
  const { status, stdout, stderr } = check('--device', 'cpu', '--quick', '--json', json);
  expect(status, `${stdout}${stderr}`).toBe(0);
  expect(readFileSync(json, 'utf8')).toBe(stdout);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const checks = lines.filter((line) => 'check' in line);
  expect(checks.filter(({ check: name }) => name === 'served, probes within 1e-4')).toHaveLength(12);
  expect(checks.every(({ ok }) => ok === true)).toBe(true);
  expect(lines.filter(({ note }) => note === 'section').map(({ name }) => name)).toEqual([
    'serving',
    'latencies',
    'training',
    'memory',
    'placement',
  ]);
  // What is in a loop and in a branch is among it.
  const placed = lines.filter(({ note }) => note === 'where operators run');
  expect(placed.map(({ graph }) => graph).sort()).toEqual(['critic-primary', 'policy-primary', 'td3-updates']);
  const of = (graph: string) => placed.find((line) => line.graph === graph)!.onCpu;
  expect(of('td3-updates')).toMatchObject({ Loop: 1, Sqrt: expect.any(Number) });
  expect(of('critic-primary')).toMatchObject({ If: expect.any(Number), Min: expect.any(Number) });
  const curve = lines.find(({ note }) => note === 'learning curve')!.curve as number[][];
  expect(curve.map(([step]) => step)).toEqual([0, 160, 320]);
});

test.skipIf(isInstalled('cuda'))('a device that is not there fails the check at once, with the reason', () => {
  const { status, stdout } = check('--device', 'cuda', '--quick', '--only', 'serving,training', {
    CHECK_MISSING: 'libcudnn.so.9',
  });
  expect(status).toBe(1);
  expect(stdout).toMatch(/^\{"note":"where","device":"cuda",.*"missing":"libcudnn\.so\.9"/m);
  expect(stdout).toMatch(
    /^\{"check":"the device opens","ok":false,"device":"cuda","seconds":[0-9.]+,"why":"a small graph: expected the cuda device, got no provider of that name\..*; exit code 1"\}$/m,
  );
  expect(stdout).toMatch(
    /"names":\["serving","training"\],"why":"the device does not open"\}\n\{"note":"end","failed":1,"seconds":\d+\}\n$/,
  );
});

/** One section's lines, on a device that is not opened beforehand. */
function lonely(section: string, fields: string) {
  const of = (file: string) => JSON.stringify(join(process.cwd(), 'dist/test/bench/device', file));
  const script = `
    const { ${section} } = await import(${of(`${section}.js`)});
    const { createLines } = await import(${of('lines.js')});
    const folder = (await import('node:fs')).mkdtempSync('${join(tmpdir(), 'hyperpolicy-section-')}');
    const queue = [];
    const later = (name, run) => queue.push(run);
    const section = { device: 'cuda', isQuick: true, lines: createLines(), scratch: folder, later, ...${fields} };
    await ${section}({ signal: new AbortController().signal, ...section });
    for (const run of queue) await run({ signal: new AbortController().signal, ...section });
    (await import('node:fs')).rmSync(folder, { recursive: true });
    process.exit(0);`;
  return spawnSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' });
}

test.skipIf(isInstalled('cuda'))(
  'each kind of package that a device refuses has its line',
  { timeout: 300_000 },
  () => {
    const { stdout, stderr } = lonely('serving', '{}');
    expect(stdout, stderr).toMatch(
      /^\{"note":"server","device":"cuda","level":"error","model":"model0",.*"msg":"model version refused"\}$/m,
    );
    const refused =
      /^\{"check":"served, probes within 1e-4","ok":false,"device":"cuda","kind":"[^"]*","why":"GetModel .*; refused: [\w.]+\.onnx: expected the cuda device/gm;
    expect(stdout.match(refused)).toHaveLength(12);
  },
);

test.skipIf(isInstalled('cuda'))(
  'a call that fails has its line, and so have those after it',
  { timeout: 300_000 },
  () => {
    const { stdout, stderr } = lonely('latencies', '{}');
    const failed = /^\{"check":"(QGrad|Act), [^"]*: done","ok":false,"device":"cuda","why":"\d+ [A-Z_]+: /gm;
    expect(stdout.match(failed), `${stdout}${stderr}`).toHaveLength(18);
  },
);

test.skipIf(isInstalled('cuda'))('a training on the cpu that has no time is left out, and no check', () => {
  const { stdout, stderr } = lonely('training', "{ leftMs: () => 0, cpuCurve: 'train' }");
  const missing = 'expected the cuda device, got no provider of that name.';
  expect(stdout, stderr).toContain(`{"check":"updates as on the cpu","ok":false,"why":"td3-updates: ${missing}`);
  expect(stdout).toMatch(
    /^\{"note":"section left out","name":"training on the cpu","why":"no time before the deadline","how":"[^"]+"\}$/m,
  );
  expect(stdout).not.toContain('both curves begin with the same return');
});

test('at its deadline the check kills what runs, skips what is left, and comes to its last line', () => {
  const { status, stdout } = check('--device', 'cpu', '--quick', '--only', 'serving,memory', '--deadline', '1');
  expect(status).toBe(1);
  expect(stdout).toMatch(/^\{"check":"serving runs to its end","ok":false,"why":"the deadline of 1 s/m);
  expect(stdout).toContain(
    '{"check":"memory runs to its end","ok":false,"why":"skipped: the deadline of 1 s"}\n{"note":"end","failed":2,"seconds":',
  );
});

test('beside cuda, webgpu is left out with the reason where there is no Vulkan driver', () => {
  const { status, stdout } = check('--device', 'cuda', '--only', 'webgpu', { VK_ICD_FILENAMES: '/none' });
  expect(status).toBe(0);
  expect(stdout).toMatch(/^\{"note":"webgpu is left out","why":".*expected the webgpu device/m);
});

withWebgpu('beside cuda, every kind is served on webgpu where there is a Vulkan driver', { timeout: 300_000 }, () => {
  const { status, stdout, stderr } = check('--device', 'cuda', '--quick', '--only', 'webgpu');
  expect(status, `${stdout}${stderr}`).toBe(0);
  expect(stdout.match(/"served, probes within 1e-4","ok":true,"device":"webgpu"/g)).toHaveLength(12);
});

test('what the check does not know is refused', () => {
  const unknown = check('--device', 'tpu');
  expect([unknown.status, unknown.stderr]).toEqual([
    2,
    'check: --device: expected one of cpu, webgpu, cuda, got "tpu"\n',
  ]);
  const section = check('--only', 'speed');
  expect(section.stderr).toBe(
    'check: --only: expected one of serving, latencies, training, memory, placement, webgpu, got "speed"\n',
  );
  expect(check('--deadline', '0').stderr).toBe(
    'check: --deadline: expected whole seconds from 1 to 1000000, got "0"\n',
  );
  expect(check('--cpu-curve', '/none').stderr).toMatch(
    /^check: --cpu-curve: expected train, none, or a file .* without --quick, got "\/none: ENOENT/,
  );
});

/** The process of the yardstick. Argument: EchoOptions as JSON, Buffers in base64. Prints its port. */

import { type EchoOptions, startEcho } from './serve-echo-server.ts';

const decoded = (_key: string, value: unknown) => (typeof value === 'string' ? Buffer.from(value, 'base64') : value);
const { port } = await startEcho(JSON.parse(process.argv[2]!, decoded) as EchoOptions);
process.stdout.write(`${port}\n`);

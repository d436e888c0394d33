/** What the TypeScript client exports: over gRPC for Node, and what browsers have (connect.ts). */

export type { ActStream } from './act-stream.ts';
export type { ActStreamEvent, ActStreamOptions, StreamedAct, StreamedActCall } from './act-stream-options.ts';
export * from './admin.ts';
export * from './client.ts';
export * from './connect.ts';
export type { ConnectionOptions } from './connection.ts';
export type { TlsOptions } from './tls.ts';

/** Messages of gRPC on an HTTP/2 stream, uncompressed: a zero byte, four bytes of length, the message. */

import { invalidArgument, resourceExhausted } from './errors.ts';

const headerBytes = 5;

/** Pieces of an unfinished message are joined when there are more than `pieceCountMin`, plus one per `pieceBytesMin` bytes. */
const pieceCountMin = 32;
const pieceBytesMin = 64;

/** The error for a message over a limit of bytes. */
export const tooLarge = (where: string, limit: number, actual: number, remedy?: string) =>
  resourceExhausted({ where, expected: `at most ${limit} bytes`, actual: `${actual}`, remedy });

export function frameOf(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, headerBytes);
  return frame;
}

/**
 * The same bytes in memory of their own: a piece is a view of all that one read of the socket gave, which may be many times as large and stays
 * as long as the piece. Pieces that own their memory are not copied again.
 */
export function ownMemory(pieces: readonly Buffer[]): Buffer[] {
  const ownCount = pieces.findIndex(({ buffer, byteLength }) => buffer.byteLength > byteLength);
  if (ownCount === -1) return [...pieces];
  const views = pieces.slice(ownCount);
  const own = Buffer.allocUnsafeSlow(views.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const view of views) at += view.copy(own, at);
  return [...pieces.slice(0, ownCount), own];
}

export type FrameBuffer = ReturnType<typeof createFrameBuffer>;

/** Assembles messages from pieces of any size. */
export function createFrameBuffer(messageBytesMax: number) {
  let pieces: Buffer[] = [];
  let byteCount = 0;
  /** Bytes that the next step needs: a header, or a whole message. */
  let needed = headerBytes;

  return {
    /** No bytes are left. */
    get isEmpty(): boolean {
      return byteCount === 0;
    },
    get byteCount(): number {
      return byteCount;
    },
    /** As {@link ownMemory}, where the rest of a message takes its time. */
    gather(): void {
      pieces = ownMemory(pieces);
    },
    clear(): void {
      pieces = [];
      byteCount = 0;
      needed = headerBytes;
    },
    add(piece: Buffer): void {
      pieces.push(piece);
      byteCount += piece.length;
      // A small piece takes more memory than its bytes.
      if (pieces.length > pieceCountMin + byteCount / pieceBytesMin) pieces = [Buffer.concat(pieces, byteCount)];
    },
    /**
     * The next message; undefined until it is whole.
     * @throws HyperpolicyError resource_exhausted: larger than a message may be; invalid_argument: compressed
     */
    take(): Buffer | undefined {
      if (byteCount < needed) return undefined;
      // Joined once all bytes are there, not at every piece.
      const bytes = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, byteCount);
      if (pieces.length > 1) pieces = [bytes];
      if (bytes[0] !== 0) {
        throw invalidArgument({
          where: 'message',
          expected: 'one that is not compressed, as grpc-encoding has it',
          actual: `flag ${bytes[0]}`,
        });
      }
      const size = bytes.readUInt32BE(1);
      if (size > messageBytesMax) throw tooLarge('message', messageBytesMax, size);
      const end = headerBytes + size;
      if (byteCount < end) {
        needed = end;
        return undefined;
      }
      needed = headerBytes;
      byteCount -= end;
      pieces = byteCount === 0 ? [] : [bytes.subarray(end)];
      return bytes.subarray(headerBytes, end);
    },
  };
}

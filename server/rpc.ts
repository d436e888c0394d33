/** What a method is to the rest of the server: a function from a decoded request to a response, without a transport. */

/** One request in flight. */
export type Call = {
  /** When the server had the message, on the clock of `performance.now()`. Milliseconds. */
  readonly receivedAtMs: number;
  /** The client's deadline on the clock of `Date.now()`; Infinity without one. */
  readonly deadlineMs: number;
  /** Made on first use; names the request in logs and in INTERNAL errors. */
  requestId(): string;
};

/** Answers at once where nothing has to be waited for, so that the common case costs no turn of the event loop. */
export type UnaryHandler<Request, Response> = (request: Request, call: Call) => Response | Promise<Response>;

/** Waits for what has no way to be called off. */

/**
 * The work's outcome, or the signal's reason as soon as it aborts. What the work gives after that goes to `late`, so that nothing stays open.
 * @example const producer = await abortable(transport.txnProducer(id, options), signal, (p) => p.close())
 */
export function abortable<T>(work: Promise<T>, signal: AbortSignal, late?: (value: T) => unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    work.then(
      (value) => {
        signal.removeEventListener('abort', onAbort)
        if (signal.aborted) late?.(value)
        else resolve(value)
      },
      (error) => {
        signal.removeEventListener('abort', onAbort)
        reject(error)
      }
    )
  })
}

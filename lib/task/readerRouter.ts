/** A reader shared by many tasks, whose errors find the task they concern. */
import type { TransportError } from '../errors.ts'
import type { Batch, Reader, ReaderOptions, Transport } from '../kafka/port.ts'
import { type Tp, tpKey } from '../record.ts'

/** A Reader that knows whom to tell when a partition can no longer be read. */
export interface RoutedReader extends Reader {
  /** As `Reader.add`. `onError` hears of faults of this partition that retrying does not mend; by then it is removed. */
  add(tp: Tp, offset: number, sink: (batch: Batch) => void, onError?: (error: TransportError) => void): void
}

/**
 * Opens a reader and routes its errors: to the `onError` given with the partition; without one, or when the error names no
 * partition, to `rest` (all tasks are concerned).
 * @example
 * const source = routedReader(transport, { isolation: 'committed', lane: 'source' }, (error) => fail(error))
 * source.add({ topic: 'orders', partition: 0 }, 0, push, (error) => task.fail(error))
 */
export function routedReader(
  transport: Pick<Transport, 'reader'>,
  options: Omit<ReaderOptions, 'onError'>,
  rest: (error: TransportError, tp: Tp | undefined) => void
): RoutedReader {
  const handlers = new Map<string, (error: TransportError) => void>()
  const reader = transport.reader({
    ...options,
    onError: (error, tp) => {
      const key = tp && tpKey(tp.topic, tp.partition)
      const handler = key === undefined ? undefined : handlers.get(key)
      if (key === undefined || handler === undefined) return rest(error, tp)
      handlers.delete(key)
      handler(error)
    }
  })
  return {
    add: (tp, offset, sink, onError) => {
      const key = tpKey(tp.topic, tp.partition)
      if (onError) handlers.set(key, onError)
      else handlers.delete(key)
      reader.add(tp, offset, sink)
    },
    pause: (tp) => reader.pause(tp),
    resume: (tp) => reader.resume(tp),
    remove: (tp) => {
      handlers.delete(tpKey(tp.topic, tp.partition))
      reader.remove(tp)
    },
    close: () => reader.close()
  }
}

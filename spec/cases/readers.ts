/** A transport whose readers are looked at. */
import type { Reader, ReaderOptions, Transport } from '../../lib/kafka/port.ts'

/** The same transport; `add` is called where a partition is added to a reader, and hands it on. */
export function watched(
  transport: Transport,
  add: (options: ReaderOptions, next: Reader['add'], ...given: Parameters<Reader['add']>) => void
): Transport {
  return {
    admin: transport.admin,
    group: (...args) => transport.group(...args),
    producer: (...args) => transport.producer(...args),
    txnProducer: (...args) => transport.txnProducer(...args),
    offsets: (...args) => transport.offsets(...args),
    committed: (...args) => transport.committed(...args),
    close: () => transport.close(),
    reader(options) {
      const reader = transport.reader(options)
      const next = reader.add.bind(reader)
      reader.add = (...given) => add(options, next, ...given)
      return reader
    }
  }
}

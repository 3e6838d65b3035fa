/** What an output must be, in three strengths, and the checks that tell. A wrong output fails the bench. */
import { crc32c } from '@node-rs/crc32'
import { partitionFor } from '../../lib/kafka/partitioner.ts'
import { PARTITIONS } from './types.ts'

/** Takes an output topic's records as a committed reader gets them. */
export interface Check {
  take(partition: number, timestamp: number, key: Buffer | null, value: Buffer | null): void
  /** @returns what is wrong; undefined = nothing */
  verdict(): string | undefined
}

export interface Expected {
  check(): Check
}

/** Every key, value and event time, in order, per partition. */
export class ExactRecords implements Expected {
  readonly #sums = new OrderedSums()

  add(timestamp: number, key: Buffer, value: Buffer): void {
    this.#sums.take(partitionFor(key, 0, key.length, PARTITIONS), timestamp, key, value)
  }

  check(): Check {
    const wanted = this.#sums
    const found = new OrderedSums()
    return {
      take: (partition, timestamp, key, value) => found.take(partition, timestamp, key, value),
      verdict() {
        if (found.count !== wanted.count) return `${found.count} records instead of ${wanted.count}`
        const wrong = found.sums.findIndex((sum, p) => sum !== wanted.sums[p])
        return wrong < 0 ? undefined : `partition ${wrong} holds other records, or in another order`
      }
    }
  }
}

class OrderedSums {
  readonly sums = new Array<number>(PARTITIONS).fill(0)
  count = 0
  readonly #time = Buffer.alloc(8)

  take(partition: number, timestamp: number, key: Buffer | null, value: Buffer | null): void {
    this.#time.writeDoubleLE(timestamp)
    const sum = crc32c(key ?? 'null', crc32c(this.#time, this.sums[partition]))
    this.sums[partition] = crc32c(value ?? 'null', sum)
    this.count++
  }
}

/** The last value of each key, as a reader of a compacted topic ends with. Values are Java longs. */
export class LastLongs implements Expected {
  readonly values = new Map<string, number>()

  add(key: string, by: number): void {
    this.values.set(key, (this.values.get(key) ?? 0) + by)
  }

  check(): Check {
    const wanted = this.values
    const found = new Map<string, number>()
    return {
      take(_partition, _timestamp, key, value) {
        const name = key!.toString('latin1')
        if (value === null) found.delete(name)
        else found.set(name, Number(value.readBigInt64BE()))
      },
      verdict() {
        if (found.size !== wanted.size) return `${found.size} keys instead of ${wanted.size}`
        for (const [key, value] of wanted) {
          if (found.get(key) !== value) return `${key} ends with ${found.get(key)} instead of ${value}`
        }
        return undefined
      }
    }
  }
}

/** The same records, each as often, in any order: what a join of two streams promises. */
export class SameRecords implements Expected {
  readonly #sum = new BagSum()

  add(key: Buffer, value: Buffer): void {
    this.#sum.take(key, value)
  }

  check(): Check {
    const wanted = this.#sum
    const found = new BagSum()
    return {
      take: (_partition, _timestamp, key, value) => found.take(key, value),
      verdict() {
        if (found.count !== wanted.count) return `${found.count} records instead of ${wanted.count}`
        return found.sum === wanted.sum ? undefined : 'other records'
      }
    }
  }
}

class BagSum {
  sum = 0
  count = 0

  take(key: Buffer | null, value: Buffer | null): void {
    this.sum = (this.sum + crc32c(value ?? 'null', crc32c(key ?? 'null'))) % Number.MAX_SAFE_INTEGER
    this.count++
  }
}

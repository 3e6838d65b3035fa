/** A whole runtime on a real Kafka. */
import type { Engine } from './engine.ts'
export const kafkaEngine = (_log: (line: string) => void): Engine => {
  throw new Error('not yet')
}

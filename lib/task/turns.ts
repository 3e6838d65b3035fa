/** One pump at a time per turn of the event loop, so that sockets and heartbeats come between any two slices. */
import { nextTurn } from '../time.ts'

const waiting: (() => void)[] = [] // in order of asking; shared by all pumps of the process
let first = 0
let running = false

/**
 * Resolves in a turn of the event loop that no other pump has. Without it, n pumps that each keep to 25 ms would all run in the same
 * "check" phase, and a heartbeat would wait n × 25 ms.
 */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve)
    if (!running) {
      running = true
      void serve()
    }
  })
}

async function serve(): Promise<void> {
  while (first < waiting.length) {
    await nextTurn()
    const next = waiting[first]!
    waiting[first++] = undefined as never
    if (first === waiting.length) {
      waiting.length = 0
      first = 0
    }
    next()
  }
  running = false
}

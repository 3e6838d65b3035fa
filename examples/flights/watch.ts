/** How the demo paces its input and knows that the job has counted everything. */
import type { Airport, Flight } from './data.ts'
import type { Results } from './results.ts'

export interface Input {
  flights: Flight[]
  airports: Airport[]
  /** How long publishing takes; 0 = as fast as it goes. */
  seconds: number
  /** Aborted by Ctrl-C. */
  signal: AbortSignal
}

/** Spreads the flights over the time: a hundred shares, each at its point of time. */
export function pace(seconds: number): { shares: number; next(): Promise<void> } {
  const shares = seconds > 0 ? 100 : 10
  const began = performance.now()
  let share = 0
  return {
    shares,
    next() {
      const due = began + (share++ / shares) * seconds * 1000
      return new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())))
    }
  }
}

/** Resolves when each flight is in both outputs. What stands there is checked afterwards, figure by figure. */
export function whenCounted(results: Results, all: number, onProgress: (done: number) => void): Promise<void> {
  return new Promise((resolve) => {
    results.onChange = () => {
      const { counted } = results
      onProgress(Math.min(counted, all))
      if (counted >= all) resolve()
    }
  })
}

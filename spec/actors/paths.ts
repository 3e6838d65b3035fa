/** Every path of moves through a machine up to a length: those that do nothing are not gone on from. */

export interface Walk {
  /** What tells one situation from another; equal = the last move has done nothing. */
  readonly signature: string
}

export interface Paths<M> {
  readonly count: number
  /** Names of the states that were met. */
  readonly met: ReadonlySet<string>
  readonly longest: readonly M[]
}

/**
 * @param go walks the path from the start and checks what must hold at its end, by throwing
 * @param once a situation that was met before is not gone on from again: each move in each situation instead of each path
 */
export async function allPaths<M>(
  moves: readonly M[],
  bound: number,
  go: (path: readonly M[]) => Promise<Walk & { readonly state: string }>,
  once = false
): Promise<Paths<M>> {
  const start = await go([])
  const met = new Set([start.state])
  const seen = new Set([start.signature])
  let count = 0
  let frontier: { path: readonly M[]; signature: string }[] = [{ path: [], signature: start.signature }]
  let longest: readonly M[] = []
  for (let length = 1; length <= bound && frontier.length > 0; length++) {
    const next: typeof frontier = []
    for (const { path, signature } of frontier) {
      for (const move of moves) {
        const extended = [...path, move]
        let walked: Walk & { readonly state: string }
        try {
          walked = await go(extended)
        } catch (error) {
          throw new Error(`On the path ${extended.map((m) => JSON.stringify(m)).join(' → ')}: ${String(error)}`, {
            cause: error
          })
        }
        if (walked.signature === signature) continue
        count++
        longest = extended
        met.add(walked.state)
        if (once && seen.has(walked.signature)) continue
        seen.add(walked.signature)
        next.push({ path: extended, signature: walked.signature })
      }
    }
    frontier = next
  }
  return { count, met, longest }
}

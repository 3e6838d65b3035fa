/** The same figures by a plain loop over the files: no topology, no shared fold, nothing of Millrace. */
import { type Airport, departure, type Flight } from './data.ts'
import type { Delays, Totals } from './statistics.ts'

export interface Figures {
  /** By `<airport> <day as ISO date>`. */
  airportDays: Map<string, Delays>
  /** By state. */
  states: Map<string, Totals>
}

export function recompute(flights: Flight[], airports: Airport[]): Figures {
  const stateOf = new Map<string, string>()
  for (const airport of airports) stateOf.set(airport.iata, airport.state)
  const figures: Figures = { airportDays: new Map(), states: new Map() }
  for (const flight of flights) {
    const state = stateOf.get(flight.origin)
    if (state === undefined) continue
    const key = `${flight.origin} ${new Date(departure(flight)).toISOString().slice(0, 10)}`
    const day = figures.airportDays.get(key)
    if (!day) {
      figures.airportDays.set(key, {
        flights: 1,
        delayed: flight.delay > 15 ? 1 : 0,
        minutes: flight.delay,
        worst: flight.delay
      })
    } else {
      day.flights++
      if (flight.delay > 15) day.delayed++
      day.minutes += flight.delay
      if (flight.delay > day.worst) day.worst = flight.delay
    }
    const total = figures.states.get(state)
    if (!total) {
      figures.states.set(state, { flights: 1, minutes: flight.delay, miles: flight.distance })
    } else {
      total.flights++
      total.minutes += flight.delay
      total.miles += flight.distance
    }
  }
  return figures
}

/** How many single numbers of `expected` stand exactly so in `actual`, and what differs or should not be there. */
export function compare(expected: Figures, actual: Figures): { exact: number; all: number; wrong: string[] } {
  let exact = 0
  let all = 0
  const wrong: string[] = []
  const check = (name: string, want: Map<string, object>, have: Map<string, object>): void => {
    for (const [key, row] of want) {
      const found = have.get(key) as Record<string, number> | undefined
      for (const [field, value] of Object.entries(row)) {
        all++
        if (found?.[field] === value) exact++
        else wrong.push(`${name} ${key} ${field}: ${found?.[field] ?? 'missing'}, should be ${value}`)
      }
    }
    for (const key of have.keys()) if (!want.has(key)) wrong.push(`${name} ${key}: should not be there`)
  }
  check('airport and day', expected.airportDays, actual.airportDays)
  check('state', expected.states, actual.states)
  return { exact, all, wrong }
}

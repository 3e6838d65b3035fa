/** What the job keeps, as plain functions: the topology folds with them record by record. */
import type { Airport, Flight } from './data.ts'

export const DAY = 86_400_000

/** A flight that has met its airport. */
export interface Departure extends Flight {
  airport: string
  state: string
}

export interface Delays {
  flights: number
  /** Left more than 15 minutes late. */
  delayed: number
  /** Sum, minutes. */
  minutes: number
  worst: number
}

export interface Totals {
  flights: number
  minutes: number
  miles: number
}

export const noDelays = (): Delays => ({ flights: 0, delayed: 0, minutes: 0, worst: Number.MIN_SAFE_INTEGER })
export const noTotals = (): Totals => ({ flights: 0, minutes: 0, miles: 0 })

export const meet = (flight: Flight, airport: Airport): Departure => ({
  ...flight,
  airport: airport.name,
  state: airport.state
})

export const addDelay = (sum: Delays, flight: Flight): Delays => ({
  flights: sum.flights + 1,
  delayed: sum.delayed + (flight.delay > 15 ? 1 : 0),
  minutes: sum.minutes + flight.delay,
  worst: Math.max(sum.worst, flight.delay)
})

export const addTotal = (sum: Totals, flight: Flight): Totals => ({
  flights: sum.flights + 1,
  minutes: sum.minutes + flight.delay,
  miles: sum.miles + flight.distance
})

/** 20,000 real flights of 2001 and the airports of the United States, as the npm package vega-datasets carries them. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { parse } from 'csv-parse/sync'

export interface Flight {
  /** Local departure time by schedule, `2001/01/31 23:59`; read as UTC, so that a day is a day. */
  date: string
  /** Minutes; negative = early. */
  delay: number
  distance: number
  origin: string
  destination: string
}

export interface Airport {
  iata: string
  name: string
  city: string
  state: string
}

const data = join(dirname(createRequire(import.meta.url).resolve('vega-datasets')), '..', 'data')

export const departure = (flight: Flight): number =>
  Date.parse(`${flight.date.replaceAll('/', '-').replace(' ', 'T')}Z`)

/** In the order in which the planes really left: event time comes out of order, as in life. */
export function loadFlights(): Flight[] {
  const flights = JSON.parse(readFileSync(join(data, 'flights-20k.json'), 'utf8')) as Flight[]
  return flights
    .map((flight) => ({ flight, left: departure(flight) + flight.delay * 60_000 }))
    .sort((a, b) => a.left - b.left)
    .map(({ flight }) => flight)
}

export function loadAirports(): Airport[] {
  const rows = parse(readFileSync(join(data, 'airports.csv')), { columns: true }) as Record<string, string>[]
  return rows.map(({ iata, name, city, state }) => ({ iata: iata!, name: name!, city: city!, state: state! }))
}

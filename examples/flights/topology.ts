/** The job: flights meet their airports; delays per airport and day, totals per state. */
import { json, string, topic, topology, tumbling } from '../../actors/index.ts'
import type { Airport, Flight } from './data.ts'
import { addDelay, addTotal, type Delays, type Departure, meet, noDelays, noTotals, type Totals } from './statistics.ts'
import { AIRPORT_DAYS, AIRPORTS, FLIGHTS, STATE_TOTALS } from './topics.ts'

/** A replay reads its partitions at different speeds, so a day stays open for the whole of the data. */
const GRACE = '120d'

/** @param name what the demo calls a topic on the broker */
export function flightsTopology(name: (topic: string) => string) {
  const flights = topic(name(FLIGHTS), json<Flight>())
  const airports = topic(name(AIRPORTS), json<Airport>())
  const airportDays = topic(name(AIRPORT_DAYS), json<Delays>())
  const stateTotals = topic(name(STATE_TOTALS), json<Totals>())

  const t = topology()
  const departures = t
    .stream(flights)
    .selectKey(({ value }) => value.origin, { key: string() })
    .join(t.table(airports, { name: 'airports' }), meet, { name: 'departures', result: json<Departure>() })

  departures
    .groupByKey()
    .windowedBy(tumbling('1d', { grace: GRACE }))
    .aggregate(noDelays, addDelay, { name: 'delays-per-airport-day', value: json<Delays>() })
    .toStream(({ key }) => `${key.key} ${new Date(key.start).toISOString().slice(0, 10)}`, { key: string() })
    .to(airportDays)

  departures
    .groupBy(({ value }) => value.state, { key: string(), name: 'departures-by-state' })
    .aggregate(noTotals, addTotal, { name: 'totals-per-state', value: json<Totals>() })
    .toStream()
    .to(stateTotals)

  return t
}

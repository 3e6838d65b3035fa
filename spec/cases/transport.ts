/** What every transport does: sentences about the port, run against the embedded log and against a real Kafka. */
import { adminCases } from './transport/admin.ts'
import { closingCases } from './transport/closing.ts'
import { commitCases } from './transport/commits.ts'
import { groupCases } from './transport/groups.ts'
import { readCases } from './transport/reads.ts'
import { type Open, Side } from './transport/support.ts'
import { transactionCases } from './transport/transactions.ts'

export type { Open } from './transport/support.ts'

/** @param open gives a transport and, for requests that no port call makes, a wire to the same log */
export function transportCases(name: string, open: Open): void {
  describe(`transport: ${name}`, function () {
    this.timeout(40_000)
    const side = new Side(open)
    before(() => side.open())
    after(() => side.close())
    describe('records', () => readCases(side))
    describe('transactions', () => transactionCases(side))
    describe('groups', () => groupCases(side))
    describe('commits of group members', () => commitCases(side))
    describe('offsets and administration', () => adminCases(side))
    describe('the end', () => closingCases(side))
  })
}

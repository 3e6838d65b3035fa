/**
 * The job in a NestJS service: a provider that starts it with the application and drains it with the application. Decorators are called as
 * the functions they are, for sources that a type-stripping loader runs; with a compiler write them with `@` as usual.
 */
import 'reflect-metadata'
import {
  BadRequestException,
  Body,
  Controller,
  type DynamicModule,
  Get,
  HttpCode,
  Inject,
  Injectable,
  Module,
  NotFoundException,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  Param,
  Post,
  ServiceUnavailableException
} from '@nestjs/common'
import type { RunningRuntime } from '../../actors/index.ts'
import { type Order, orderOf, type Totals } from '../embedding/job.ts'
import type { Shop } from '../embedding/shop.ts'

const SHOP = Symbol('shop')

/** @Injectable() */
class Customers implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly #shop: Shop
  #job: RunningRuntime | undefined

  constructor(shop: Shop) {
    this.#shop = shop
  }

  async onApplicationBootstrap(): Promise<void> {
    this.#job = await this.#shop.runtime.run({ signals: false }) // the application has the signals
    // A job that fails takes the service with it: whoever runs the service starts it again.
    this.#job.stopped.catch((error: unknown) => {
      console.error(error)
      process.exit(1)
    })
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#job?.drain()
    await this.#shop.close()
  }

  get healthy(): boolean {
    return this.#job?.healthy ?? false
  }

  place(order: Order): Promise<void> {
    return this.#shop.place(order)
  }

  totals(customer: string): Promise<Totals | undefined> {
    return this.#shop.totals(customer)
  }
}
Injectable()(Customers)
Inject(SHOP)(Customers, undefined, 0)

/** @Controller() */
class CustomersController {
  readonly #customers: Customers

  constructor(customers: Customers) {
    this.#customers = customers
  }

  /** @Get('health') */
  health(): { healthy: boolean } {
    if (!this.#customers.healthy) throw new ServiceUnavailableException({ healthy: false })
    return { healthy: true }
  }

  /** @Post('orders') @HttpCode(202), with @Body() */
  async place(body: unknown): Promise<Order> {
    const order = orderOf(body)
    if (!order) throw new BadRequestException('An order is { customer: string, amount: integer }.')
    await this.#customers.place(order)
    return order
  }

  /** @Get('customers/:id'), with @Param('id') */
  async totals(id: string): Promise<Totals> {
    const totals = await this.#customers.totals(id)
    if (!totals) throw new NotFoundException(`No customer "${id}".`)
    return totals
  }
}
const { prototype } = CustomersController
const decorate = (name: keyof CustomersController, ...decorators: MethodDecorator[]): void => {
  for (const apply of decorators) apply(prototype, name, Object.getOwnPropertyDescriptor(prototype, name)!)
}
Controller()(CustomersController)
Inject(Customers)(CustomersController, undefined, 0)
decorate('health', Get('health'))
decorate('place', Post('orders'), HttpCode(202))
Body()(prototype, 'place', 0)
decorate('totals', Get('customers/:id'))
Param('id')(prototype, 'totals', 0)

/** @Module({ controllers: [CustomersController], providers: [Customers] }) */
class CustomersModule {}
Module({ controllers: [CustomersController], providers: [Customers] })(CustomersModule)

export const customersModule = (shop: Shop): DynamicModule => ({
  module: CustomersModule,
  providers: [{ provide: SHOP, useValue: shop }]
})

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["z-a", "z-b", "z-c", "z-d"] }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-central-1" }
  }
}

variables {
  name         = "test"
  cidr         = "10.42.0.0/16"
  nat_gateways = "each"
}

run "three_zones" {
  command = plan
  module {
    source = "./modules/network"
  }
  assert {
    condition     = length(aws_subnet.private) == 3 && length(aws_subnet.public) == 3 && length(aws_nat_gateway.this) == 3
    error_message = "three zones, each with its way out"
  }
  assert {
    condition     = length(distinct(concat([for s in aws_subnet.private : s.cidr_block], [for s in aws_subnet.public : s.cidr_block]))) == 6
    error_message = "subnets must not meet"
  }
}

run "one_gateway" {
  command = plan
  module {
    source = "./modules/network"
  }
  variables {
    nat_gateways = "one"
  }
  assert {
    condition     = keys(aws_nat_gateway.this) == ["z-a"] && length(aws_route_table.private) == 3
    error_message = "all zones leave by the first one's"
  }
}

run "a_small_network_is_refused" {
  command = plan
  module {
    source = "./modules/network"
  }
  variables {
    cidr = "10.42.0.0/24"
  }
  expect_failures = [var.cidr]
}

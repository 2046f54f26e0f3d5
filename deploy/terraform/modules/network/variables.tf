variable "name" {
  type = string
}

variable "cidr" {
  description = "A /16, of which each private subnet takes a sixteenth."
  type        = string
  validation {
    condition     = can(cidrsubnet(var.cidr, 8, 0)) && tonumber(split("/", var.cidr)[1]) <= 18
    error_message = "cidr: an IPv4 network of at most 18 bits, such as 10.42.0.0/16."
  }
}

variable "nat_gateways" {
  description = "one or each"
  type        = string
}

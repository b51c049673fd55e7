variable "branch" {
  description = "The branch whose jobs may push images"
  type        = string
  default     = "main"
}

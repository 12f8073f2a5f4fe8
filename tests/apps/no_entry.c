/* A shared object that is no application: rmd_app_entry is missing. */
int unrelated(void);

int unrelated(void)
{
    return 1;
}
